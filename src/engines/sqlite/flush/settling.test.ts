import { afterEach, expect, mock, spyOn, test } from 'bun:test'
import * as fs from 'node:fs'
import { statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  faultsOfTables,
  killedCopy,
  newFolder,
  openAt,
  until,
  withEngine,
} from '../../../../test/support/engine.ts'
import { put, valuesOf, write } from '../../../../test/support/engine-writes.ts'
import type { Job } from './flush-worker.ts'

/** Syncs of moved pages (checkpoint.ts) that fail, in a whole engine. */

afterEach(() => mock.restore())

const closedFile = 1 << 20

/** Notes the jobs of flushers, and has syncs of moved pages fail for which `fails` returns true. */
function notedJobs(fails: (settles: number) => boolean): string[] {
  const jobs: string[] = []
  let settles = 0
  const { postMessage } = Worker.prototype
  spyOn(Worker.prototype, 'postMessage').mockImplementation(function (this: Worker, job: Job) {
    jobs.push(job.do === 'settle' && job.isRepeated ? 'settle again' : job.do)
    const isBroken = job.do === 'settle' && fails(settles++)
    postMessage.call(this, isBroken ? { ...job, fd: closedFile } : job)
  })
  return jobs
}

/** Keys in no order: jobs of ascending ones never rest, and are synced at once. */
const keys = Array.from({ length: 400 }, (_, i) => `k${100 + ((i * 137) % 400)}`)
const writes = (value: string) => keys.map((key) => put(key, value))
const expected = (value: string) => Object.fromEntries(keys.map((key) => [key, value]))

test('nothing is written to the tables before moved pages are synced, and a failed sync is repeated', async () => {
  const dir = newFolder()
  await withEngine(dir, async (engine) => {
    const jobs = notedJobs((settles) => settles < 2)
    for (const value of ['1', '2']) await write(engine, writes(value))
    await until(() => jobs.filter((job) => job === 'flush').length === 2, 'the next flush')
    expect(jobs.slice(0, 6)).toEqual([
      'flush',
      'checkpoint',
      'settle',
      'settle again',
      'settle again',
      'flush',
    ])
    expect(await valuesOf(engine)).toEqual(expected('2'))
  })
  expect(faultsOfTables(dir)).toEqual([])
})

test('a file of the tables that cannot be opened for its sync is a failure like others', async () => {
  const dir = newFolder()
  const { openSync } = fs
  let refusals = 0
  await withEngine(dir, async (engine) => {
    const jobs = notedJobs(() => false)
    spyOn(fs, 'openSync').mockImplementation((path, flags, mode) => {
      if (flags === 'r+' && String(path).endsWith('kvist.db') && refusals++ === 0) throw new Error('ENOENT')
      return openSync(path, flags, mode)
    })
    for (const value of ['1', '2']) await write(engine, writes(value))
    await until(() => jobs.filter((job) => job === 'flush').length === 2, 'the next flush')
    expect(jobs.slice(0, 4)).toEqual(['flush', 'checkpoint', 'settle again', 'flush'])
    expect(await valuesOf(engine)).toEqual(expected('2'))
  })
  expect(refusals).toBe(2)
  expect(faultsOfTables(dir)).toEqual([])
})

test('a store that is closed while the sync fails keeps what the file may lack', async () => {
  const dir = newFolder()
  await withEngine(dir, (engine) => write(engine, writes('1')))
  const before = await Bun.file(join(dir, 'kvist.db')).bytes()
  const jobs = notedJobs(() => true)
  const engine = await openAt(dir)
  await write(engine, writes('2'))
  await until(() => jobs.includes('settle'), 'the sync')
  await engine.close()
  expect(jobs).not.toContain('close')
  mock.restore()
  // The system lost all of what it could not write.
  const lost = killedCopy(dir)
  writeFileSync(join(lost, 'kvist.db'), before)
  await withEngine(lost, async (again) => expect(await valuesOf(again)).toEqual(expected('2')))
  expect(faultsOfTables(lost)).toEqual([])
})

test('on a disk with little room every checkpoint is synced at once', async () => {
  const dir = newFolder()
  await withEngine(dir, async (engine) => {
    const jobs = notedJobs(() => false)
    const { statfsSync } = fs
    // Sixteen segments would be 256 KiB.
    spyOn(fs, 'statfsSync').mockImplementation(((path: string) =>
      Object.assign(statfsSync(path), { bfree: 200, bsize: 1024 })) as typeof statfsSync)
    await write(engine, writes('1'))
    await until(() => jobs.includes('checkpoint'), 'a checkpoint')
    await write(engine, writes('2'))
    await until(() => jobs.filter((job) => job === 'checkpoint').length > 1, 'the next one')
    expect(jobs).not.toContain('settle')
  })
  expect(faultsOfTables(dir)).toEqual([])
})

test('the log of SQLite keeps its length while writes go on, and is empty once they end', async () => {
  const dir = newFolder()
  const logBytes = () => statSync(join(dir, 'kvist.db-wal')).size
  await withEngine(dir, async (engine) => {
    const jobs = notedJobs(() => false)
    await write(engine, writes('1'))
    await until(() => jobs.includes('settle'), 'the sync')
    await write(engine, [put('k100', '2')])
    expect(logBytes()).toBeGreaterThan(0)
    expect(await engine.read('things', 'k100')).toMatchObject({ value: '2' })
    expect(await engine.read('things', 'k101')).toMatchObject({ value: '1' })
    await until(() => logBytes() === 0, 'the log is empty')
    expect(await engine.read('things', 'k101')).toMatchObject({ value: '1' })
  })
  expect(faultsOfTables(dir)).toEqual([])
})
