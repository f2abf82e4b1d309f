import { afterEach, expect, mock, spyOn, test } from 'bun:test'
import * as fs from 'node:fs'
import { rmSync } from 'node:fs'
import {
  holdTables,
  killedCopy,
  logFiles,
  newFolder,
  openAt,
  until,
  withEngine,
} from '../../../test/support/engine.ts'
import { put, valuesOf, write } from '../../../test/support/engine-writes.ts'

/** What the commit pipeline promises beyond what the engine's contract says. */

/** The real one. */
const { fdatasync } = fs

afterEach(() => mock.restore())

const filling = JSON.stringify('x'.repeat(2000))

/** Has syncs wait until they are let go; how many have been asked for. */
function holdSyncs(): { count(): number; release(): void } {
  const waiting: (() => void)[] = []
  let isReleased = false
  let count = 0
  const held = (fd: number, done: Parameters<typeof fdatasync>[1]) => {
    count++
    const sync = () => fdatasync(fd, done)
    if (isReleased) sync()
    else waiting.push(sync)
  }
  spyOn(fs, 'fdatasync').mockImplementation(Object.assign(held, { __promisify__: fdatasync.__promisify__ }))
  return {
    count: () => count,
    release() {
      isReleased = true
      for (const sync of waiting.splice(0)) sync()
    },
  }
}

test('relaxed commits of a segment that stays open are synced soon', async () => {
  const dir = newFolder()
  await withEngine(
    dir,
    async (engine) => {
      const syncs = holdSyncs()
      syncs.release()
      // Written to all the time, the log is not rotated for being idle; and it has room for all of it.
      await until(async () => {
        await write(engine, [put('b')], { durability: 'relaxed' })
        return syncs.count() > 0
      }, 'the timer syncs')
      expect(logFiles(dir)).toHaveLength(1)
    },
    { segmentBytes: 16 * 1024 * 1024 },
  )
})

test('close waits for syncs of relaxed commits', async () => {
  const engine = await openAt(newFolder())
  await write(engine, [put('a')], { durability: 'relaxed' })
  const syncs = holdSyncs()
  let isClosed = false
  const closing = engine.close().then(() => {
    isClosed = true
  })
  await until(() => syncs.count() > 0, 'close syncs')
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve))
  expect(isClosed).toBe(false)
  syncs.release()
  await closing
})

test('close waits for the commit under way', async () => {
  const dir = newFolder()
  const engine = await openAt(dir)
  const syncs = holdSyncs()
  const writing = write(engine, [put('a')])
  await until(() => syncs.count() > 0, 'it is being synced')
  let isClosed = false
  const closing = engine.close().then(() => {
    isClosed = true
  })
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve))
  expect(isClosed).toBe(false)
  syncs.release()
  await writing
  await closing
  await withEngine(dir, async (again) => expect(await valuesOf(again)).toEqual({ a: '1' }))
})

test('commits that come together are synced in groups of a bounded size', async () => {
  await withEngine(
    newFolder(),
    async (engine) => {
      const syncs = holdSyncs()
      syncs.release()
      const value = new Uint8Array(3 * 1024 * 1024)
      await Promise.all(Array.from({ length: 8 }, (_, i) => write(engine, [put(`k${i}`, value)])))
      // Two of 3 MiB fit into 8.
      expect(syncs.count()).toBeGreaterThanOrEqual(4)
    },
    { segmentBytes: 64 * 1024 * 1024 },
  )
})

test('writers are throttled while a job of the flusher takes long, and not without one', async () => {
  const dir = newFolder()
  const pauses: number[] = []
  const { sleep } = Bun
  spyOn(Bun, 'sleep').mockImplementation((ms) => {
    pauses.push(Number(ms))
    return sleep(0)
  })
  await withEngine(dir, async (engine) => {
    for (let i = 0; i < 3; i++) await write(engine, [put(`before${i}`, filling)])
    expect(pauses).toEqual([])
    const held = holdTables(dir)
    // More than a segment: the flusher has work, which the tables do not let it do. No write waits for the disk.
    for (let i = 0; i < 18; i++) await write(engine, [put(`k${i}`, filling)], { durability: 'relaxed' })
    const isShort = (ms: number) => ms > 2 && ms <= 50
    expect(pauses.filter(isShort).length).toBeGreaterThan(0)
    expect(pauses.filter((ms) => !isShort(ms))).toEqual([])
    held.release()
  })
})

test('a log that lacks one revision alone is refused', async () => {
  const dir = newFolder()
  const killed = await withEngine(
    dir,
    async (engine) => {
      const held = holdTables(dir)
      // Each has a segment of its own.
      for (const key of ['a', 'b', 'c']) await write(engine, [put(key, filling)])
      const copy = killedCopy(dir)
      held.release()
      return copy
    },
    { segmentBytes: 4096 },
  )
  expect(logFiles(killed)).toHaveLength(3)
  rmSync(logFiles(killed)[1]!)
  await expect(openAt(killed)).rejects.toThrow('it begins with revision 3, and what comes before ends with 1')
})
