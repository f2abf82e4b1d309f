import { afterEach, expect, mock, spyOn, test } from 'bun:test'
import * as fs from 'node:fs'
import { mkdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { newFolder, until } from '../../../../test/support/engine.ts'
import type { KvistError } from '../../../core/errors.ts'
import * as runtimeClock from '../../../runtime/clock.ts'
import { addRecord, memtable } from '../memtable/memtable.ts'
import { closeReaders, type Overlay, openOverlay } from '../overlay.ts'
import { openReserve } from '../reserve.ts'
import { openForWriting, readStart } from '../table/table.ts'
import { newChunk } from '../wal/log-files.ts'
import { encodeRecord } from '../wal/record.ts'
import type { Job } from './flush-worker.ts'
import { Flusher, type FlusherOptions } from './flusher.ts'

function optionsOf(dir: string, overlay: Overlay): FlusherOptions {
  const segmentBytes = 1024
  return {
    dbPath: join(dir, 'kvist.db'),
    overlay,
    segmentBytes,
    segmentsAwaited: 1,
    maxSegments: 10,
    reserve: openReserve({ dir, segmentBytes, roomInTables: 0, warn() {} }),
    isMemoryScarce: false,
    archive: null,
  }
}

function overlayOf(dbPath: string): Overlay {
  const { roots } = readStart(dbPath)
  return openOverlay({ dbPath, roots, collections: [], pages: 'on', isMemoryScarce: false, warn() {} })
}

test('the page reader is notified before a checkpoint changes any page, and after', async () => {
  const dir = newFolder()
  mkdirSync(dir, { recursive: true })
  const path = join(dir, 'kvist.db')
  const db = openForWriting(path)
  for (let i = 1; i <= 100; i++) {
    db.run('INSERT INTO tombstones VALUES (?, ?, NULL, ?, ?, ?, 0)', ['c', `k${i}`, i, 'delete', i])
    db.run('INSERT INTO feed VALUES (?, ?, ?, ?, 0)', [i, 'c', `k${i}`, 'delete'])
  }
  db.close()

  const before = readFileSync(path)
  const reported: string[] = []
  const state = () => {
    const isAsBefore = readFileSync(path).equals(before)
    const walBytes = statSync(`${path}-wal`, { throwIfNoEntry: false })?.size ?? 0
    return `${isAsBefore ? 'as before' : 'changed'}, ${walBytes > 0 ? 'more to come' : 'nothing to come'}`
  }
  const overlay = overlayOf(path)
  const pages = {
    ...overlay.pages,
    jobBegins: () => reported.push(`job begins: ${state()}`),
    jobEnded: (commits: number | null) => reported.push(`job ended: ${commits}, ${state()}`),
    pause: () => reported.push(`pause: ${state()}`),
    resume: () => reported.push(`resume: ${state()}`),
  }
  const flusher = new Flusher(optionsOf(dir, { ...overlay, pages }))
  try {
    expect(await flusher.forget(Number.POSITIVE_INFINITY, 1000)).toBe(100)
    expect(reported).toEqual([
      'job begins: as before, nothing to come',
      'job ended: 1, as before, more to come',
      'pause: as before, more to come',
      'resume: changed, nothing to come',
    ])
  } finally {
    await flusher.close()
    closeReaders(overlay)
  }
})

afterEach(() => mock.restore())

test('close waits for the file that is made ahead', async () => {
  const dir = newFolder()
  mkdirSync(dir, { recursive: true })
  const path = join(dir, 'kvist.db')
  const { fsync } = fs
  const overlay = overlayOf(path)
  const flusher = new Flusher(optionsOf(dir, overlay))
  let finish: (() => void) | null = null
  const held = (fd: number, done: Parameters<typeof fsync>[1]) => {
    finish = () => fsync(fd, done)
  }
  spyOn(fs, 'fsync').mockImplementationOnce(Object.assign(held, { __promisify__: fsync.__promisify__ }))
  flusher.makeAhead()
  let isClosed = false
  const closing = flusher.close().then(() => {
    isClosed = true
  })
  await until(() => finish !== null, 'the file is being synced')
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve))
  expect(isClosed).toBe(false)
  finish!()
  await closing
  closeReaders(overlay)
})

test('close waits for the job under way', async () => {
  const dir = newFolder()
  mkdirSync(dir, { recursive: true })
  const path = join(dir, 'kvist.db')
  const overlay = overlayOf(path)
  const flusher = new Flusher(optionsOf(dir, overlay))
  const done: string[] = []
  const forgetting = flusher.forget(Number.POSITIVE_INFINITY, 1000).then(() => done.push('job'))
  await flusher.close()
  done.push('close')
  await Promise.race([forgetting, Bun.sleep(1000)])
  expect(done).toEqual(['job', 'close'])
  await expect(flusher.forget(0, 1)).rejects.toMatchObject({ code: 'closing' })
  closeReaders(overlay)
})

test('a job waits for the one under way, and close for both', async () => {
  const dir = newFolder()
  mkdirSync(dir, { recursive: true })
  const overlay = overlayOf(join(dir, 'kvist.db'))
  const flusher = new Flusher(optionsOf(dir, overlay))
  const jobs = [1, 2, 3].map((limit) => flusher.forget(Number.POSITIVE_INFINITY, limit))
  const late = Bun.sleep(5000).then(() => 'late')
  expect(await Promise.race([Promise.all(jobs), late])).toEqual([0, 0, 0])
  await flusher.close()
  closeReaders(overlay)
})

test('a drain ends when flushing fails, and says why', async () => {
  const dir = newFolder()
  mkdirSync(dir, { recursive: true })
  const overlay = overlayOf(join(dir, 'kvist.db'))
  const flusher = new Flusher(optionsOf(dir, overlay))
  const chunk = newChunk(1024)
  const path = join(dir, 'log-00000001')
  // What is in its memory is no segment.
  chunk.bytes.fill(0xff)
  flusher.add({ number: 1, path, lastRevision: 1, memtable: memtable(chunk), onFlushed() {} })
  const late = Bun.sleep(5000).then(() => 'late')
  const drained = flusher.drain().then(
    () => 'done',
    (error: KvistError) => error.code,
  )
  expect(await Promise.race([drained, late])).toBe('storage_failed')
  expect(flusher.failure()?.code).toBe('storage_failed')
  expect(flusher.waiting()).toBe(1)
  await flusher.close()
  closeReaders(overlay)
})

/** The keys of a segment that is not in their order. */
const mixed = Array.from({ length: 100 }, (_, i) => `k${100 + ((i * 37) % 100)}`)

test('a job rests if writers leave the time, until somebody waits for it', async () => {
  const dir = newFolder()
  mkdirSync(dir, { recursive: true })
  const overlay = overlayOf(join(dir, 'kvist.db'))
  const jobs: (Job & { do: 'flush' })[] = []
  spyOn(Worker.prototype, 'postMessage').mockImplementation((job: Job) => {
    if (job.do === 'flush') jobs.push(job)
  })
  const clock = spyOn(runtimeClock, 'monotonicMs')
  const flusherFilledEvery = (fillMs: number) => {
    clock.mockReturnValue(0)
    const flusher = new Flusher({ ...optionsOf(dir, overlay), maxSegments: 6 })
    clock.mockReturnValue(fillMs)
    flusher.add(segmentOf(1, mixed))
    return flusher
  }
  // Three segments are left for rests, and the first job is assumed to take 500 ms.
  for (const [fillMs, factor] of [
    [10, 0],
    [400, 0.8],
    [10_000, 1.5],
  ] as const) {
    flusherFilledEvery(fillMs)
    expect(jobs.at(-1)!.rests.factor).toBeCloseTo(factor)
  }
  for (const wait of [
    (it: Flusher) => it.drain(),
    (it: Flusher) => it.close(),
    (it: Flusher) => it.hurry(),
  ]) {
    const flusher = flusherFilledEvery(10_000)
    const { rests } = jobs.at(-1)!
    clock.mockReturnValue(10_500)
    // Of the job's 500 ms of work 200 are done.
    expect(flusher.busyForMs()).toBeCloseTo(300)
    expect(rests.hurry[0]).toBe(0)
    wait(flusher)
    expect(rests.hurry[0]).toBe(1)
    clock.mockReturnValue(10_600)
    expect(flusher.busyForMs()).toBeCloseTo(200)
  }
  closeReaders(overlay)
})

/** A segment with these keys, written in this order. Its memory is no segment: the job fails. */
function segmentOf(number: number, keys: readonly string[]) {
  const chunk = newChunk(16 * 1024)
  const table = memtable(chunk)
  let at = 64
  for (const key of keys) {
    const rest = { contentType: '', node: '', flags: 0, createdAtMs: 0, clock: 0, expiresAtMs: null }
    const fields = { kind: 'put', collection: 'c', key, value: '1', position: 1, replaced: null } as const
    const end = encodeRecord(chunk, at, { ...fields, ...rest })
    addRecord(table, at, 'c', key)
    at = end
  }
  return { number, path: `log-${number}`, lastRevision: 1, memtable: table, onFlushed() {} }
}

test('a segment of ascending keys is flushed at once and alone; others wait for each other', async () => {
  const dir = newFolder()
  mkdirSync(dir, { recursive: true })
  const overlay = overlayOf(join(dir, 'kvist.db'))
  const ascending = Array.from({ length: 100 }, (_, i) => `k${100 + i}`)
  for (const [keys, isAscending] of [
    [ascending, true],
    // A few are out of order where another client writes meanwhile.
    [[...ascending, 'k0', 'k1', 'k2'], true],
    [mixed, false],
    [[...ascending, ...ascending.map((key) => `a${key}`)], false],
  ] as const) {
    const sizes: number[] = []
    const { postMessage } = Worker.prototype
    spyOn(Worker.prototype, 'postMessage').mockImplementation(function (this: Worker, job: Job) {
      if (job.do === 'flush') sizes.push(job.sources.length)
      postMessage.call(this, job)
    })
    const flushers = [1, 2].map(() => new Flusher({ ...optionsOf(dir, overlay), segmentsAwaited: 2 }))
    const [first, second] = flushers as [Flusher, Flusher]
    first.add(segmentOf(1, keys))
    expect(sizes.splice(0)).toEqual(isAscending ? [1] : [])
    const forgotten = second.forget(0, 1)
    for (const number of [1, 2]) second.add(segmentOf(number, keys))
    expect(sizes).toEqual([])
    await forgotten
    expect(sizes).toEqual([isAscending ? 1 : 2])
    for (const flusher of flushers) await flusher.close()
    mock.restore()
  }
  closeReaders(overlay)
})
