import { afterEach, expect, mock, spyOn, test } from 'bun:test'
import * as fs from 'node:fs'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  faultOf,
  holdTables,
  killedCopy,
  logFiles,
  newFolder,
  openAt,
  until,
  withEngine,
} from '../../../../test/support/engine.ts'
import { feedOf, put, remove, valuesOf, write } from '../../../../test/support/engine-writes.ts'
import { stepLimit } from '../../../../test/support/steps.ts'
import type { KvistError } from '../../../core/errors.ts'
import { type Committed, keyOf } from '../../../core/member.ts'
import {
  createSegment,
  frameAt,
  frameHeaderBytes,
  headerAt,
  saltBytes,
  segmentHeaderBytes,
  syncSegment,
} from './log.ts'
import { newChunk, systemDisk } from './log-files.ts'
import { type LoadedSegment, readSegmentInMemory } from './log-reader.ts'
import { chunkOf, recordKey } from './record.ts'
import { readLog } from './recovery.ts'

/** The real ones, while a test puts a faulty one in their place. */
const { fdatasync, writeSync } = fs

type Synced = Parameters<typeof fdatasync>[1]

function replaceSync(sync: (fd: number, done: Synced) => void, times: 'once' | 'always'): void {
  const spy = spyOn(fs, 'fdatasync')
  const fake = Object.assign(sync, { __promisify__: fdatasync.__promisify__ })
  if (times === 'once') spy.mockImplementationOnce(fake)
  else spy.mockImplementation(fake)
}

afterEach(() => mock.restore())

/** Where the frames of a segment begin, and where the last ends. */
function frameBounds(bytes: Buffer): number[] {
  const bounds = [segmentHeaderBytes]
  for (const step = stepLimit('walking along the frames'); ; step()) {
    const at = bounds[bounds.length - 1]!
    const salt = bytes.subarray(headerAt.salt, headerAt.salt + saltBytes)
    if (!bytes.subarray(at, at + saltBytes).equals(salt)) return bounds
    bounds.push(at + frameHeaderBytes + bytes.readUInt32LE(at + frameAt.length))
  }
}

function segmentAt(path: string, bytes: Buffer): LoadedSegment {
  const storeId = bytes.toString('latin1', headerAt.storeId, headerAt.storeId + 16)
  return readSegmentInMemory({ path, number: Number(path.slice(-8)) }, chunkOf(bytes), storeId)
}

/** The segments of a folder whose tables have nothing of them. */
function segmentsOf(dir: string): readonly LoadedSegment[] {
  const bytes = readFileSync(logFiles(dir)[0]!)
  const storeId = bytes.toString('latin1', headerAt.storeId, headerAt.storeId + 16)
  return readLog(dir, { storeId, flushedRevision: 0, lostRevisions: [] }).segments
}

function keysOf({ chunk, records }: LoadedSegment): string[] {
  return records.map((at) => recordKey(chunk, at))
}

/** A log of two commits and a third of several members; its path, bytes and frames. */
async function smallLog() {
  const dir = newFolder()
  const killed = await withEngine(dir, async (engine) => {
    await write(engine, [put('first', '"1"')])
    await write(engine, [put('second', '"2"'), remove('first')])
    await write(engine, [put('a', '"é"'), put('b', new Uint8Array(30)), remove('second'), put('c', '[3]')])
    return killedCopy(dir)
  })
  const [path] = logFiles(killed)
  const bytes = readFileSync(path!)
  return { dir: killed, path: path!, bytes, bounds: frameBounds(bytes) }
}

const afterTwo = { second: '"2"' }
const afterThree = { a: '"é"', b: new Uint8Array(30), c: '[3]' }

/** Ways in which what follows the cut may look: nothing, zeros, or what an earlier life of the file had there. */
const tails: readonly ((bytes: Buffer, cut: number) => Buffer)[] = [
  (bytes, cut) => bytes.subarray(0, cut),
  (bytes, cut) => Buffer.from(bytes).fill(0, cut),
  (bytes, cut) => Buffer.from(bytes).fill(0xff, cut),
  (bytes, cut) => Buffer.concat([bytes.subarray(0, cut), bytes.subarray(segmentHeaderBytes)]),
]

test('a frame that was cut at any byte is no frame, and those before it stay', async () => {
  const { dir, path, bytes, bounds } = await smallLog()
  expect(bounds).toHaveLength(4)
  for (let cut = bounds[2]!; cut < bounds[3]!; cut++) {
    for (const tail of tails) {
      writeFileSync(path, tail(bytes, cut))
      expect(segmentsOf(dir).flatMap(keysOf)).toEqual(['first', 'second', 'first'])
    }
  }
  writeFileSync(path, bytes)
  expect(segmentsOf(dir)[0]!.records).toHaveLength(7)
})

test('a last frame with any byte changed is no frame', async () => {
  const { dir, path, bytes, bounds } = await smallLog()
  for (let at = bounds[2]!; at < bounds[3]!; at++) {
    const changed = Buffer.from(bytes)
    changed[at]! ^= 1 << (at % 8)
    writeFileSync(path, changed)
    expect(segmentsOf(dir).flatMap(keysOf)).toEqual(['first', 'second', 'first'])
  }
})

test('a store opens after a torn commit with all before it, and takes new ones', async () => {
  const { dir, path, bytes, bounds } = await smallLog()
  const length = bounds[3]! - bounds[2]!
  for (let step = 0; step <= 12; step++) {
    const cut = bounds[2]! + Math.floor((length * step) / 12)
    const torn = killedCopy(dir)
    const whole = step === 12
    writeFileSync(path.replace(dir, torn), tails[step % tails.length]!(bytes, cut))
    const expected = whole ? afterThree : afterTwo
    await withEngine(torn, async (engine) => {
      expect(await valuesOf(engine)).toEqual(expected)
      expect((await engine.collections())[0]?.members).toBe(Object.keys(expected).length)
      await write(engine, [put('next', '"4"')])
    })
    await withEngine(torn, async (engine) => {
      expect(await valuesOf(engine)).toEqual({ ...expected, next: '"4"' })
      const keys = (await feedOf(engine)).map(keyOf)
      expect(keys).toEqual(whole ? ['first', 'a', 'b', 'second', 'c', 'next'] : ['second', 'first', 'next'])
    })
  }
})

test('a log file of any length short of its header is passed over', async () => {
  const dir = newFolder()
  const empty = await withEngine(dir, async () => killedCopy(dir))
  for (const length of [0, 1, 8, 63, 64, 65]) {
    const copy = killedCopy(empty)
    writeFileSync(join(copy, 'log-00000001'), Buffer.alloc(length))
    await withEngine(copy, async (engine) => {
      expect(await valuesOf(engine)).toEqual({})
      await write(engine, [put('a')])
    })
  }
})

test('what an earlier life of a file left in it never comes back', async () => {
  const dir = newFolder()
  // Frames of one size: those of the next life end where those of the last one did.
  const value = JSON.stringify('x'.repeat(200))
  await withEngine(
    dir,
    async (engine) => {
      const keys: string[] = []
      for (let found = 0; found < 3; ) {
        const key = `k${String(keys.length).padStart(4, '0')}`
        await write(engine, [put(key, value)])
        keys.push(key)
        const path = logFiles(dir).at(-1)!
        const bytes = readFileSync(path)
        const loaded = segmentAt(path, bytes)
        const read = keysOf(loaded)
        expect(read).toEqual(keys.slice(keys.length - read.length))
        // What stands behind the end is a frame, as whole as it was written.
        const end = loaded.runs.at(-1)!.end + frameHeaderBytes
        const stale = bytes.subarray(end, end + 300)
        if (read.length === 5 && stale.includes(value)) found++
        if (keys.length === 3000) throw new Error('no file was used again')
      }
    },
    { segmentBytes: 8192 },
  )
})

/** Lets the next syncs fail as a broken disk does. */
function failSync(code: string): void {
  replaceSync((_fd, done) => done(Object.assign(new Error(`${code}: it failed`), { code })), 'once')
}

for (const { name, cutFails } of [
  { name: 'and its frame is undone', cutFails: false },
  { name: 'and its frame cannot be undone', cutFails: true },
]) {
  test(`a write that failed is never seen, ${name}`, async () => {
    const dir = newFolder()
    const notified: Committed[] = []
    const engine = await openAt(dir, { onCommit: (changes) => notified.push(...changes) })
    await write(engine, [put('before')])
    failSync('EIO')
    if (cutFails) failNextCut()
    const together = ['bad1', 'bad2'].map((key) => faultOf(write(engine, [put(key)])))
    expect((await Promise.all(together)).map(({ code }) => code)).toEqual([
      'storage_failed',
      'storage_failed',
    ])
    expect(await valuesOf(engine)).toEqual({ before: '1' })
    expect(await engine.collections()).toEqual([{ name: 'things', members: 1, bytes: 7 }])
    mock.restore()
    const killed = [cutFails ? null : killedCopy(dir)]
    await write(engine, [put('after')])
    killed.push(killedCopy(dir))
    await write(engine, [remove('before')])
    killed.push(killedCopy(dir))
    await engine.close()
    expect(notified.map(keyOf)).toEqual(['before', 'after', 'before'])
    for (const [i, copy] of [...killed, dir].entries()) {
      if (copy === null) continue
      await withEngine(copy, async (again) => {
        const expected = [{ before: '1' }, { before: '1', after: '1' }, { after: '1' }, { after: '1' }][i]!
        expect(await valuesOf(again)).toEqual(expected)
        expect((await feedOf(again)).map(keyOf)).not.toContain('bad1')
        expect(await again.collections()).toMatchObject([{ members: Object.keys(expected).length }])
      })
    }
  })
}

/** The zeros that undo a frame do not reach the file; all else does. */
function failNextCut(): void {
  const real = writeSync as (...args: unknown[]) => number
  spyOn(fs, 'writeSync').mockImplementation(((...args: unknown[]) => {
    const [, bytes] = args
    if (bytes instanceof Uint8Array && bytes.length === frameHeaderBytes) throw new Error('EIO: it failed')
    return real(...args)
  }) as typeof writeSync)
}

test('calls that the system asks to repeat are repeated', async () => {
  const dir = newFolder()
  await withEngine(dir, async (engine) => {
    await write(engine, [put('a')])
    for (const code of ['EINTR', 'EAGAIN']) {
      failSync(code)
      await write(engine, [put(code)])
      failWrite(code)
      await write(engine, [put(`${code} of a write`)])
    }
    expect(Object.keys(await valuesOf(engine))).toHaveLength(5)
    // Not for ever: a disk that says nothing else has failed.
    replaceSync((_fd, done) => done(Object.assign(new Error('EINTR: again'), { code: 'EINTR' })), 'always')
    expect((await faultOf(write(engine, [put('b')]))).code).toBe('storage_failed')
  })
})

/** Lets the next write to a file fail. */
function failWrite(code: string): void {
  spyOn(fs, 'writeSync').mockImplementationOnce(() => {
    throw Object.assign(new Error(`${code}: it failed`), { code })
  })
}

test('what a failed sync of relaxed commits lost is written again', async () => {
  const dir = newFolder()
  await withEngine(
    dir,
    async (engine) => {
      const held = holdTables(dir)
      const filling = JSON.stringify('x'.repeat(2000))
      await write(engine, [put('a', filling)], { durability: 'relaxed' })
      // The system drops what it could not bring to disk, and takes it for done.
      replaceSync((fd, done) => {
        writeSync(fd, Buffer.alloc(3000), 0, 3000, segmentHeaderBytes)
        done(Object.assign(new Error('EIO: it failed'), { code: 'EIO' }))
      }, 'once')
      const later = write(engine, [put('b', filling)])
      await later.catch((error: KvistError) => expect(error.code).toBe('storage_failed'))
      await write(engine, [put('b', filling)])
      const copy = killedCopy(dir)
      held.release()
      await withEngine(copy, async (again) => {
        expect(Object.keys(await valuesOf(again))).toEqual(['a', 'b'])
      })
    },
    { segmentBytes: 4096 },
  )
})

test('a disk that has no room is named as such', async () => {
  const dir = newFolder()
  await withEngine(dir, async (engine) => {
    await write(engine, [put('a')])
    for (const code of ['ENOSPC', 'EDQUOT', 'EFBIG']) {
      failSync(code)
      expect((await faultOf(write(engine, [put('b')]))).code).toBe('storage_full')
    }
    await write(engine, [put('c')])
    expect(await valuesOf(engine)).toEqual({ a: '1', c: '1' })
  })
})

test('what is relaxed is on disk before anything of a later segment is', async () => {
  const dir = newFolder()
  const done: (() => void)[] = []
  await withEngine(
    dir,
    async (engine) => {
      const held = holdTables(dir)
      replaceSync((fd, callback) => done.push(() => fdatasync(fd, callback)), 'always')
      const filling = JSON.stringify('x'.repeat(2000))
      await write(engine, [put('a', filling)], { durability: 'relaxed' })
      let safe = false
      const later = write(engine, [put('b', filling)], { durability: 'full' }).then(() => {
        safe = true
      })
      await until(() => done.length === 1, 'the first segment is being synced')
      await Bun.sleep(30)
      // Nothing of the second file is on its way while the first is not safe.
      expect(done).toHaveLength(1)
      expect(logFiles(dir)).toHaveLength(1)
      done.shift()!()
      await until(() => done.length === 1, 'the second segment is being synced')
      expect(safe).toBe(false)
      mock.restore()
      done.shift()!()
      await later
      held.release()
    },
    { segmentBytes: 4096 },
  )
})

test('folders that are made for a store are made safe with it', async () => {
  const parent = newFolder()
  fs.mkdirSync(parent)
  const opened = new Map<number, string>()
  const synced: string[] = []
  const { openSync, fsyncSync, open, fsync } = fs
  spyOn(fs, 'openSync').mockImplementation((path, flags, mode) => {
    const fd = openSync(path, flags, mode)
    opened.set(fd, String(path))
    return fd
  })
  spyOn(fs, 'fsyncSync').mockImplementation((fd) => {
    synced.push(opened.get(fd) ?? '')
    fsyncSync(fd)
  })
  const watchedOpen = (path: string, flags: string, done: (error: Error | null, fd: number) => void) =>
    open(path, flags, (error, fd) => {
      opened.set(fd, path)
      done(error, fd)
    })
  spyOn(fs, 'open').mockImplementation(watchedOpen as unknown as typeof open)
  const watchedSync = (fd: number, done: Parameters<typeof fsync>[1]) => {
    synced.push(opened.get(fd) ?? '')
    fsync(fd, done)
  }
  spyOn(fs, 'fsync').mockImplementation(Object.assign(watchedSync, { __promisify__: fsync.__promisify__ }))
  await withEngine(join(parent, 'a', 'b'), async (engine) => {
    expect(synced).toEqual([join(parent, 'a'), parent])
    await write(engine, [put('a')])
    expect(synced).toContain(join(parent, 'a', 'b'))
  })
})

test('a sync that another one overtook with a failure writes again and syncs once more', async () => {
  const dir = newFolder()
  fs.mkdirSync(dir)
  const segment = await createSegment(systemDisk, dir, 1, 1, '0123456789abcdef', newChunk(4096), null)
  const waiting: Synced[] = []
  replaceSync((_fd, done) => waiting.push(done), 'always')
  const settle = () => new Promise((resolve) => setImmediate(resolve))
  const overtaken = syncSegment(segment, 2000)
  const failing = syncSegment(segment, 3000)
  failing.catch(() => {})
  await settle()
  expect(waiting).toHaveLength(2)
  // The pages of both are lost with the failure of the later one, and the system takes them for clean.
  waiting[1]!(Object.assign(new Error('EIO: it failed'), { code: 'EIO' }))
  await settle()
  const written = spyOn(fs, 'writeSync')
  waiting[0]!(null)
  await settle()
  expect(segment.syncedEnd).toBe(0)
  expect(waiting).toHaveLength(3)
  expect(written.mock.calls.length).toBeGreaterThan(0)
  waiting[2]!(null)
  await overtaken
  await expect(failing).rejects.toThrow('EIO')
  expect([segment.syncedEnd, segment.failedSyncs, segment.repairedSyncs]).toEqual([2000, 1, 1])
  fs.closeSync(segment.fd)
})
