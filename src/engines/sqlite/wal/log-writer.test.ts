import { describe, expect, test } from 'bun:test'
import { basename } from 'node:path'
import { emptyOverlay, idleFlusher, unusedReserve } from '../../../../test/support/pipeline-parts.ts'
import { histogram } from '../../../core/histogram.ts'
import { monotonicMs } from '../../../runtime/clock.ts'
import { frameHeaderBytes } from './log.ts'
import type { LogDisk } from './log-files.ts'
import {
  type ActiveSegment,
  appendFrame,
  closeLog,
  type LogWriter,
  openLogWriter,
  rotate,
  segmentWithRoom,
} from './log-writer.ts'

/** A disk that notes its calls, in order; syncs end when they are let go, or fail. */
function notingDisk() {
  const calls: string[] = []
  const names = new Map<number, string>()
  const state = { isHeld: false, fails: false }
  const held: (() => void)[] = []
  const note = (what: string, path: string) => void calls.push(`${what} ${basename(path)}`)
  const disk: LogDisk = {
    makeFile: async (path) => note('make', path),
    async open(path) {
      names.set(names.size + 1, path)
      return names.size
    },
    rename: async (_from, to) => note('rename', to),
    write() {},
    async syncData(fd) {
      note('sync', names.get(fd)!)
      if (state.isHeld) await new Promise<void>((resolve) => held.push(resolve))
      if (state.fails) throw new Error('EIO')
    },
    async syncFolder() {},
    close: (fd) => note('close', names.get(fd)!),
    remove: (path) => note('remove', path),
  }
  return {
    disk,
    calls,
    state,
    release() {
      state.isHeld = false
      for (const end of held.splice(0)) end()
    },
  }
}

function open() {
  const noting = notingDisk()
  const overlay = emptyOverlay()
  const flushed: string[] = []
  const log = openLogWriter({
    archive: null,
    disk: noting.disk,
    dir: '/nowhere',
    folder: { check() {} },
    storeId: 'sixteen-letters!',
    segmentBytes: 4096,
    overlay,
    flusher: { ...idleFlusher, add: ({ path }) => void flushed.push(basename(path)) },
    reserve: unusedReserve,
    lastSegment: 0,
    syncSeconds: histogram([]),
  })
  return { ...noting, log, overlay, flushed }
}

/** Long enough for everything that nothing is waited for. */
async function ticks(): Promise<void> {
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve))
}

/** Appends a frame of one record, whose bytes do not matter here. */
async function append(log: LogWriter, active: ActiveSegment, durability: 'full' | 'relaxed'): Promise<void> {
  const at = active.segment.end + frameHeaderBytes
  await appendFrame(log, active, at + 100, durability === 'full', 0)
  active.memtable.offsets.push(at)
}

describe('a new segment', () => {
  test('is made only when relaxed commits of the one before are synced', async () => {
    const { log, calls, state, release } = open()
    await append(log, await segmentWithRoom(log, 1000, 0), 'relaxed')
    state.isHeld = true
    calls.length = 0
    const opening = segmentWithRoom(log, 4000, 1)
    await ticks()
    expect(calls).toEqual(['sync log-00000001'])
    release()
    expect((await opening).segment.number).toBe(2)
    expect(calls).toEqual(['sync log-00000001', 'close log-00000001', 'make log-00000002'])
  })

  test('is not made while that sync fails, and the commits before are synced again first', async () => {
    const { log, calls, state } = open()
    await append(log, await segmentWithRoom(log, 1000, 0), 'relaxed')
    state.fails = true
    await expect(segmentWithRoom(log, 4000, 1)).rejects.toThrow('EIO')
    expect(calls.filter((call) => call.startsWith('make'))).toEqual(['make log-00000001'])
    state.fails = false
    calls.length = 0
    await segmentWithRoom(log, 4000, 1)
    expect(calls).toEqual(['sync log-00000001', 'close log-00000001', 'make log-00000002'])
  })

  test('begins when the active one is full of bytes, has 250,000 records, or is 10 s old', async () => {
    const aged = (active: ActiveSegment, ms: number) => ({ ...active, openedAtMs: monotonicMs() - ms })
    const counting = (active: ActiveSegment, records: number) => ({
      ...active,
      memtable: { ...active.memtable, offsets: Array<number>(records).fill(0) },
    })
    const cases: [(active: ActiveSegment) => ActiveSegment, bytes: number, isRotated: boolean][] = [
      [(active) => active, 2000, false],
      [(active) => active, 4096, true],
      [(active) => counting(active, 249_999), 100, false],
      [(active) => counting(active, 250_000), 100, true],
      [(active) => aged(active, 5000), 100, false],
      [(active) => aged(active, 10_001), 100, true],
      // Nothing is gained by rotating one without records.
      [(active) => aged(counting(active, 0), 10_001), 100, false],
    ]
    for (const [change, bytes, isRotated] of cases) {
      const { log, overlay } = open()
      const first = await segmentWithRoom(log, 1000, 0)
      await append(log, first, 'full')
      log.active = change(first)
      overlay.tables[0] = log.active.memtable
      const next = await segmentWithRoom(log, bytes, 1)
      expect([change.toString(), bytes, next.segment.number]).toEqual([
        change.toString(),
        bytes,
        isRotated ? 2 : 1,
      ])
    }
  })
})

test('a rotated segment is synced and closed at once, though no other is opened', async () => {
  const { log, calls, flushed } = open()
  await append(log, await segmentWithRoom(log, 1000, 0), 'relaxed')
  calls.length = 0
  rotate(log, 1)
  await ticks()
  expect(calls).toEqual(['sync log-00000001', 'close log-00000001'])
  expect(flushed).toEqual(['log-00000001'])
  expect(log.unsynced).toEqual([])
})

test('a segment takes no frame after one that failed', async () => {
  const { log, overlay, state, flushed } = open()
  const first = await segmentWithRoom(log, 1000, 0)
  await append(log, first, 'full')
  state.fails = true
  await expect(append(log, first, 'full')).rejects.toThrow('EIO')
  expect(log.active).toBeNull()
  expect(flushed).toEqual(['log-00000001'])
  state.fails = false
  const next = await segmentWithRoom(log, 1000, 1)
  expect(next.segment.number).toBe(2)

  // One whose first frame fails has nothing to flush.
  state.fails = true
  await expect(append(log, next, 'full')).rejects.toThrow('EIO')
  expect([log.active, flushed.length, overlay.tables.length]).toEqual([null, 1, 1])
})

test('closing syncs what relaxed commits left, and closes every file, also when the sync fails', async () => {
  for (const fails of [false, true]) {
    const { log, calls, state } = open()
    await append(log, await segmentWithRoom(log, 1000, 0), 'relaxed')
    calls.length = 0
    state.fails = fails
    await closeLog(log, 1)
    expect(calls.at(0)).toBe('sync log-00000001')
    expect(calls.filter((call) => call.startsWith('close'))).toEqual(['close log-00000001'])
  }
})
