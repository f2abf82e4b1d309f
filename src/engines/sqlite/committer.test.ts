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
import { put, write } from '../../../test/support/engine-writes.ts'

/** What the commit pipeline promises beyond what the engine's contract says. */

/** The real one. */
const { fdatasync } = fs

afterEach(() => mock.restore())

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
  await withEngine(
    newFolder(),
    async (engine) => {
      const syncs = holdSyncs()
      syncs.release()
      // Written to all the time, the log is not rotated for being idle; and it has room for all of it.
      await until(async () => {
        await write(engine, [put('b')], { durability: 'relaxed' })
        return syncs.count() > 0
      }, 'the timer syncs')
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

test('a log that lacks one revision alone is refused', async () => {
  const dir = newFolder()
  const killed = await withEngine(
    dir,
    async (engine) => {
      const held = holdTables(dir)
      // Each has a segment of its own.
      for (const key of ['a', 'b', 'c']) await write(engine, [put(key, JSON.stringify('x'.repeat(2000)))])
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
