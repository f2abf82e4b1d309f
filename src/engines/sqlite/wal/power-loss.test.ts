import { afterEach, expect, mock, spyOn, test } from 'bun:test'
import * as fs from 'node:fs'
import { basename } from 'node:path'
import {
  holdTables,
  killedCopy,
  logFiles,
  newFolder,
  until,
  withEngine,
} from '../../../../test/support/engine.ts'
import { feedOf, put, valuesOf, write } from '../../../../test/support/engine-writes.ts'
import { isLongRun } from '../../../../test/support/long-run.ts'
import { type Random, random, seedOfRun } from '../../../../test/support/random.ts'
import { together } from '../../../../test/support/together.ts'
import type { Durability, Engine } from '../../../core/engine.ts'
import { keyOf, revisionOf } from '../../../core/member.ts'

/**
 * A power loss keeps what was synced, and of what was only written any sectors or none. Here the log's writes are
 * watched, and stores are opened on folders as such a loss might leave them.
 */
const sectorBytes = 512
const segmentBytes = 4096

/** The real ones. */
const { closeSync, fdatasync, fsync, open, rename, renameSync, write: writeLater, writeSync } = fs

interface Pending {
  readonly at: number
  readonly bytes: Buffer
}

/** A file of the log: what is safe of it, and what was written since. */
interface Image {
  safe: Buffer
  pending: Pending[]
}

afterEach(() => mock.restore())

/** Watches what is written to files of the log from here on; they are known by their names. */
function watchLog(): Map<string, Image> {
  const images = new Map<string, Image>()
  const opened = new Map<number, Image>()
  // Known from when it is asked for: a loss may come before the response.
  const watchedOpen = (path: string, flags: string, done: (error: Error | null, fd: number) => void) => {
    const name = basename(path)
    if (flags === 'w') images.set(name, { safe: Buffer.alloc(0), pending: [] })
    open(path, flags, (error, fd) => {
      const image = images.get(name)
      if (error === null && image !== undefined) opened.set(fd, image)
      done(error, fd)
    })
  }
  spyOn(fs, 'open').mockImplementation(watchedOpen as unknown as typeof open)
  spyOn(fs, 'closeSync').mockImplementation((fd) => {
    opened.delete(fd)
    closeSync(fd)
  })
  const move = (from: string, to: string): void => {
    const image = images.get(basename(from))
    images.delete(basename(from))
    if (image !== undefined) images.set(basename(to), image)
  }
  // What is taken out of the log is renamed at once, what comes into it off the event loop.
  spyOn(fs, 'renameSync').mockImplementation((from, to) => {
    renameSync(from, to)
    move(String(from), String(to))
  })
  const watchedRename = (from: string, to: string, done: (error: Error | null) => void) => {
    const image = images.get(basename(from))
    if (image !== undefined) images.set(basename(to), image)
    rename(from, to, done)
  }
  spyOn(fs, 'rename').mockImplementation(watchedRename as unknown as typeof rename)
  const watchedWrite = (fd: number, bytes: Uint8Array, from: number, length: number, at: number): number => {
    const done = writeSync(fd, bytes, from, length, at)
    opened.get(fd)?.pending.push({ at, bytes: Buffer.from(bytes.subarray(from, from + done)) })
    return done
  }
  spyOn(fs, 'writeSync').mockImplementation(watchedWrite as typeof writeSync)
  const watchedLater = (
    fd: number,
    bytes: Uint8Array,
    from: number,
    length: number,
    at: number,
    done: (error: Error | null, written: number) => void,
  ) =>
    writeLater(fd, bytes, from, length, at, (error, count) => {
      if (error === null) {
        opened.get(fd)?.pending.push({ at, bytes: Buffer.from(bytes.subarray(from, from + count)) })
      }
      done(error, count)
    })
  spyOn(fs, 'write').mockImplementation(watchedLater as unknown as typeof writeLater)
  for (const [name, sync] of [
    ['fdatasync', fdatasync],
    ['fsync', fsync],
  ] as const) {
    const watchedSync = (fd: number, done: Parameters<typeof fdatasync>[1]): void => {
      const image = opened.get(fd)
      const asked = image?.pending.length ?? 0
      sync(fd, (error) => {
        if (image !== undefined && error === null) {
          for (const one of image.pending.splice(0, asked)) image.safe = written(image.safe, one)
        }
        done(error)
      })
    }
    spyOn(fs, name).mockImplementation(
      Object.assign(watchedSync, { __promisify__: fdatasync.__promisify__ }) as typeof fdatasync,
    )
  }
  return images
}

function written(into: Buffer, { at, bytes }: Pending): Buffer {
  const end = at + bytes.length
  const result =
    end > into.length ? Buffer.concat([into, Buffer.alloc(end - into.length)]) : Buffer.from(into)
  bytes.copy(result, at)
  return result
}

/** The folder as a power loss at this moment might leave it. */
function afterPowerLoss(dir: string, images: Map<string, Image>, r: Random): string {
  const copy = killedCopy(dir)
  for (const path of logFiles(copy)) {
    const { safe, pending } = images.get(basename(path))!
    let bytes = safe
    const share = r.pick([0, 1, 2, 3])
    for (const { at, bytes: all } of pending) {
      for (let from = 0; from < all.length; ) {
        const length = Math.min(sectorBytes - ((at + from) % sectorBytes), all.length - from)
        if (r.int(3) < share)
          bytes = written(bytes, { at: at + from, bytes: all.subarray(from, from + length) })
        from += length
      }
    }
    fs.writeFileSync(path, bytes)
  }
  return copy
}

interface Batch {
  readonly keys: readonly string[]
  readonly value: string
  readonly durability: Durability
}

/** What is left is the first so many batches, whole; all that were acknowledged as on disk are among them. */
async function expectWhole(dir: string, batches: readonly Batch[]): Promise<void> {
  const least = batches.findLastIndex(({ durability }) => durability === 'full') + 1
  await withEngine(dir, async (engine) => {
    const values = await valuesOf(engine)
    const found = new Set(Object.keys(values))
    const count = batches.findIndex(({ keys }) => !found.has(keys[0]!))
    const left = count === -1 ? batches : batches.slice(0, count)
    expect(left.length).toBeGreaterThanOrEqual(least)
    expect([...found].toSorted()).toEqual(left.flatMap(({ keys }) => keys).toSorted())
    for (const { keys, value } of left) for (const key of keys) expect(values[key]).toBe(value)
    expect((await engine.collections())[0]?.members ?? 0).toBe(found.size)
    const feed = await feedOf(engine)
    expect(feed.map(keyOf)).toEqual(left.flatMap(({ keys }) => keys))
    const [written] = await write(engine, [put('after')])
    expect(written!.revision).toBeGreaterThan(Math.max(0, ...feed.map(revisionOf)))
  })
}

for (const [name, kinds] of [
  ['nothing that was acknowledged', ['full']],
  ['of relaxed commits the last ones alone', ['full', 'relaxed', 'relaxed', 'relaxed']],
] as const) {
  test(`a power loss takes ${name}`, async () => {
    const r = random(seedOfRun())
    const dir = newFolder()
    const images = watchLog()
    const batches: Batch[] = []
    const losses: { copy: string; batches: Batch[] }[] = []
    async function writeBatch(engine: Engine, loseMeanwhile: boolean): Promise<void> {
      const keys = Array.from({ length: 1 + r.int(4) }, (_, i) => `b${batches.length}-${i}`)
      const durability = r.pick(kinds)
      const value = JSON.stringify('x'.repeat(r.int(400)))
      const writing = write(
        engine,
        keys.map((key) => put(key, value)),
        { durability },
      )
      if (loseMeanwhile) {
        // In the log or not, but not acknowledged: it may be lost, as a whole.
        await new Promise((resolve) => setImmediate(resolve))
        const underWay: Batch = { keys, value, durability: 'relaxed' }
        losses.push({ copy: afterPowerLoss(dir, images, r), batches: [...batches, underWay] })
      }
      await writing
      batches.push({ keys, value, durability })
    }
    await withEngine(
      dir,
      async (engine) => {
        for (let round = 0; round < (isLongRun ? 5 : 3); round++) {
          // The tables stand still while the folder is looked at, and catch up between.
          await until(() => logFiles(dir).length <= 1, 'the tables are up to date')
          const held = holdTables(dir)
          for (let i = 0; i < 8 && logFiles(dir).length < 4; i++) {
            await writeBatch(engine, true)
            losses.push({ copy: afterPowerLoss(dir, images, r), batches: [...batches] })
          }
          held.release()
          for (let i = 0; i < 25; i++) await writeBatch(engine, false)
        }
      },
      { segmentBytes },
    )
    mock.restore()
    await together(losses, ({ copy, batches }) => expectWhole(copy, batches))
    expect(losses.length).toBeGreaterThan(10)
  })
}
