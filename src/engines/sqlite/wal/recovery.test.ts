import { expect, test } from 'bun:test'
import * as fs from 'node:fs'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import {
  copyOf,
  dataOf,
  faultsOfTables,
  flushedRevision,
  holdTables,
  killedCopy,
  logFiles,
  newFolder,
  openAt,
  withEngine,
} from '../../../../test/support/engine.ts'
import { feedOf, put, remove, valuesOf, write } from '../../../../test/support/engine-writes.ts'
import { isLongRun } from '../../../../test/support/long-run.ts'
import { random, seedOfRun } from '../../../../test/support/random.ts'
import { stepLimit } from '../../../../test/support/steps.ts'
import { together } from '../../../../test/support/together.ts'
import type { Durability, Engine } from '../../../core/engine.ts'
import { revisionOf, type Value } from '../../../core/member.ts'
import { flushSegments } from '../flush/flush.ts'
import { openForWriting, RefusedFile, readMeta } from '../table/table.ts'
import { frameAt, frameHeaderBytes, headerAt, segmentHeaderBytes } from './log.ts'
import { readLog } from './recovery.ts'

/** Damage of the log is refused by name, unless it costs nothing; a torn write is cut, and said. */

/** Where the frames of a segment begin, and where the last ends. */
function frameBounds(bytes: Buffer): number[] {
  const bounds = [segmentHeaderBytes]
  for (const step = stepLimit('walking along the frames'); ; step()) {
    const at = bounds[bounds.length - 1]!
    if (
      at >= bytes.length ||
      !bytes.subarray(at, at + 8).equals(bytes.subarray(headerAt.salt, headerAt.salt + 8))
    )
      return bounds
    bounds.push(at + frameHeaderBytes + bytes.readUInt32LE(at + frameAt.length))
  }
}

/** A log of commits that the tables have nothing of: the folder as a kill leaves it. */
function killedLog(
  commits: readonly { keys: readonly string[]; durability?: Durability }[],
  segmentBytes = 64 * 1024,
): Promise<string> {
  const dir = newFolder()
  return withEngine(
    dir,
    async (engine) => {
      const held = holdTables(dir)
      try {
        for (const { keys, durability = 'full' } of commits) {
          await write(
            engine,
            keys.map((key) => put(key, '"value"')),
            { durability },
          )
        }
        expect(flushedRevision(dir)).toBe(0)
        return killedCopy(dir)
      } finally {
        held.release()
      }
    },
    { segmentBytes },
  )
}

const four = ['a', 'b', 'c', 'd'].map((key) => ({ keys: [key, `${key}2`] }))
const longLog = () =>
  killedLog(
    Array.from({ length: 24 }, (_, i) => ({ keys: [`k${i}`] })),
    1024,
  )

function flip(path: string, at: number, mask = 0x10): void {
  const bytes = readFileSync(path)
  bytes[at]! ^= mask
  writeFileSync(path, bytes)
}

/** Opens a folder; what it logged then, or why it was refused. Nothing may have changed at a refusal. */
async function open(
  dir: string,
  acceptDamagedLog: string | null = null,
): Promise<{ engine: Engine; lines: string[] } | { refusal: string }> {
  const before = dataOf(dir)
  const lines: string[] = []
  try {
    const engine = await openAt(dir, { acceptDamagedLog, warn: (line) => lines.push(line) })
    return { engine, lines }
  } catch (error) {
    if (!(error instanceof RefusedFile)) throw error
    expect(error.message).not.toContain('\n')
    expect(dataOf(dir)).toEqual(before)
    return { refusal: error.message }
  }
}

async function refusalOf(dir: string, accepted: string | null = null): Promise<string> {
  const opened = await open(dir, accepted)
  if ('refusal' in opened) return opened.refusal
  await opened.engine.close()
  throw new Error(`${dir} was opened`)
}

/** What a folder opens to: its members, and what was said. */
async function openedState(dir: string, accepted: string | null = null) {
  const opened = await open(dir, accepted)
  if ('refusal' in opened) throw new Error(opened.refusal)
  const { engine, lines } = opened
  try {
    // Copies of a folder have the modes that the one who copies gives them, and the engine says that it changed those.
    const said = lines.filter((line) => !line.includes('was open to other users'))
    return { values: await valuesOf(engine), lines: said, revision: Number(engine.head()) }
  } finally {
    await engine.close()
  }
}

test('a broken frame that whole ones follow is refused, whichever bit of it is wrong', async () => {
  const dir = await killedLog(four)
  const [path] = logFiles(dir)
  const bytes = readFileSync(path!)
  const bounds = frameBounds(bytes)
  expect(bounds).toHaveLength(5)
  // Of every third byte another bit.
  for (let at = bounds[1]!; at < bounds[2]!; at += isLongRun ? 1 : 3) {
    writeFileSync(path!, bytes)
    flip(path!, at, 1 << (at % 8))
    expect(await refusalOf(dir)).toBe(
      `${path} is damaged at byte ${bounds[1]}: a frame cannot be read; 2 whole frames follow, up to revision 8. Put the file back from a copy, save what can be read with kvist repair, or go on without revisions 3 to 8 by --accept-damaged-log log-00000001:${bounds[1]}`,
    )
  }
  writeFileSync(path!, bytes)
  expect((await openedState(dir)).lines).toEqual([])
})

test('the loss is accepted by the name of the damage alone, costs what follows, and its revisions are not used again', async () => {
  const dir = await killedLog(four)
  const [path] = logFiles(dir)
  const bytes = readFileSync(path!)
  const [, at = 0] = frameBounds(bytes)
  flip(path!, at + 50)
  const damaged = readFileSync(path!)
  for (const name of [`log-00000001:${at + 1}`, `log-00000002:${at}`, 'log-00000001']) {
    expect(await refusalOf(dir, name)).toContain(`--accept-damaged-log log-00000001:${at}`)
  }
  const name = `log-00000001:${at}`
  const opened = await openedState(dir, name)
  expect(opened.values).toEqual({ a: '"value"', a2: '"value"' })
  expect(opened.lines).toEqual([
    `the damage ${name} is accepted: revisions from 3 on are lost, and kept in damaged-…`,
  ])
  expect(readFileSync(join(dir, 'damaged-00000001'))).toEqual(damaged)
  // Also when nothing is written before the next start.
  const again = await openedState(dir, name)
  expect(again.lines).toEqual(['--accept-damaged-log is not needed: the log is not damaged'])
  expect(again.revision).toBe(8)
  await withEngine(dir, async (engine) => {
    expect((await write(engine, [put('new')]))[0]!.revision).toBe(9)
    const killed = killedCopy(dir)
    expect((await openedState(killed)).values).toMatchObject({ a: '"value"', new: '1' })
  })
  expect(faultsOfTables(dir)).toEqual([])
  await withEngine(dir, async (engine) => {
    expect((await feedOf(engine)).map(revisionOf)).toEqual([1, 2, 9])
  })
})

test('a process that ends while a loss is being accepted leaves a store that opens in the same way', async () => {
  const dir = await longLog()
  const [first] = logFiles(dir)
  const [, at = 0] = frameBounds(readFileSync(first!))
  flip(first!, at + 50)
  const name = `log-00000001:${at}`
  for (let calls = 1; calls < 20; calls++) {
    const copy = copyOf(dir)
    if (!(await dieAfter(calls, copy, name))) return
    const { values, revision } = await openedState(copy, name)
    expect(values).toEqual({ k0: '"value"' })
    expect(revision).toBe(24)
  }
  throw new Error('accepting took more calls than a test can interrupt')
})

/** Accepts damage in a process that ends at its nth call that changes a file; false when it has fewer. */
async function dieAfter(calls: number, dir: string, name: string): Promise<boolean> {
  const program = join(import.meta.dir, '../../../../test/support/die-accepting.ts')
  const child = Bun.spawn([process.execPath, program, dir, name, String(calls)], { stderr: 'inherit' })
  const code = await child.exited
  if (code !== 0 && code !== 9) throw new Error(`the process ended with ${code}`)
  return code === 9
}

test('a torn last frame is cut, with a line that says how many bytes', async () => {
  const dir = await killedLog(four)
  const [path] = logFiles(dir)
  const [, , , at = 0, end = 0] = frameBounds(readFileSync(path!))
  flip(path!, end - 1)
  const { values, lines, revision } = await openedState(dir)
  expect(Object.keys(values)).toEqual(['a', 'a2', 'b', 'b2', 'c', 'c2'])
  expect(lines).toEqual([
    `${path} ends with a write that did not finish: ${end - at} bytes were cut at byte ${at}`,
  ])
  // It was not reported.
  expect(revision).toBe(6)
})

test('relaxed commits that a power cut left in part are cut, and their revisions are not used again', async () => {
  const relaxed = ['b', 'c', 'd', 'e'].map((key) => ({ keys: [key], durability: 'relaxed' as const }))
  const dir = await killedLog([{ keys: ['a'] }, ...relaxed])
  const [path] = logFiles(dir)
  const [, , at = 0, , , end = 0] = frameBounds(readFileSync(path!))
  flip(path!, at + 40)
  const { values, lines, revision } = await openedState(copyOf(dir))
  expect(values).toEqual({ a: '"value"', b: '"value"' })
  expect(lines[0]).toContain(
    `ends with a write that did not finish: ${end - at} bytes were cut at byte ${at}`,
  )
  expect(revision).toBe(5)
  // A kill before anything of it is in the tables brings nothing of it back.
  await withEngine(dir, async (engine) => {
    const held = holdTables(dir)
    expect((await write(engine, [put('new')]))[0]!.revision).toBe(6)
    const killed = killedCopy(dir)
    held.release()
    expect(await openedState(killed)).toMatchObject({ lines: [], revision: 6 })
    expect((await openedState(killed)).values).toEqual({ a: '"value"', b: '"value"', new: '1' })
  })
})

test('what relaxed commits had on disk is damage when a later frame says so', async () => {
  const relaxed = ['b', 'c'].map((key) => ({ keys: [key], durability: 'relaxed' as const }))
  const dir = await killedLog([{ keys: ['a'] }, ...relaxed, { keys: ['d'] }, { keys: ['e'] }])
  const [path] = logFiles(dir)
  const [, at = 0] = frameBounds(readFileSync(path!))
  flip(path!, at + 40)
  expect(await refusalOf(dir)).toContain(`is damaged at byte ${at}: a frame cannot be read; 3 whole frames`)
})

test('a log with a part missing or cut short in the middle is refused, and left as it is', async () => {
  const whole = await longLog()
  const [one = '', two = '', three = ''] = logFiles(whole)
  expect(three).not.toBe('')
  const ends = (path: string) => frameBounds(readFileSync(path)).at(-1)!
  const harms: [harm: (dir: string) => void, said: RegExp][] = [
    [
      (dir) => fs.rmSync(join(dir, basename(one))),
      /log-00000002 is damaged at byte 0: it begins with revision \d+, and what comes before ends with 0;/,
    ],
    [
      (dir) => fs.rmSync(join(dir, basename(two))),
      /log-00000003 is damaged at byte 0: it begins with revision \d+,/,
    ],
    [
      (dir) => fs.truncateSync(join(dir, basename(two)), 0),
      /log-00000003 is damaged at byte 0: it begins with/,
    ],
    [
      (dir) => fs.truncateSync(join(dir, basename(one)), ends(one) - 5),
      /log-00000001 is damaged at byte \d{3}: a frame cannot be read;/,
    ],
    [
      (dir) => fs.truncateSync(join(dir, basename(two)), 64),
      /log-00000002 is damaged at byte 64: a frame cannot be read;/,
    ],
    [
      (dir) => flip(join(dir, basename(two)), ends(two) - 3),
      /log-00000002 is damaged at byte \d{3}: a frame cannot be read;/,
    ],
  ]
  for (const [harm, said] of harms) {
    const dir = copyOf(whole)
    harm(dir)
    const refusal = await refusalOf(dir)
    expect(refusal).toMatch(said)
    const [, name = ''] = /--accept-damaged-log (\S+)$/.exec(refusal)!
    const { values, revision } = await openedState(dir, name)
    // What counts is a beginning of all that was written.
    expect(Object.keys(values).length).toBeLessThan(24)
    for (let i = 0; i < Object.keys(values).length; i++) expect(values[`k${i}`]).toBe('"value"')
    expect(revision).toBe(24)
    expect((await openedState(dir)).values).toEqual(values)
  }
})

test('a segment whose header is damaged is refused, the last one too', async () => {
  const whole = await longLog()
  for (const number of [0, 1, 2]) {
    for (const at of [0, 7, 9, 13, 17, 25, 40, 50, 63]) {
      const dir = copyOf(whole)
      flip(logFiles(dir)[number]!, at)
      expect(await refusalOf(dir)).toMatch(
        new RegExp(`log-0000000${number + 1} is damaged at byte 0: its header cannot be read; (\\d|no)`),
      )
    }
  }
})

test('a segment under the name of another is refused, unless it was to be used again', async () => {
  const dir = await longLog()
  const [, two = ''] = logFiles(dir)
  fs.renameSync(two, join(dir, 'log-00000007'))
  expect(await refusalOf(dir)).toMatch(/log-00000007 holds segment 2 of the log: give it back its name$/)
})

/** A folder whose log goes up to revision 24, and whose tables have its first `segments` segments. */
async function partlyApplied(segments: number): Promise<string> {
  const dir = await longLog()
  const db = openForWriting(join(dir, 'kvist.db'))
  const log = readLog(dir, readMeta(db)).segments
  for (const { number, path, chunk, runs } of log.slice(0, segments)) {
    flushSegments(db, [{ number, path, memory: chunk.bytes.buffer, lastRevision: runs[0]!.lastRevision }])
  }
  db.close()
  return dir
}

test('damage of what the tables have costs nothing, and is said', async () => {
  const whole = await partlyApplied(2)
  const all = (await openedState(copyOf(whole))).values
  expect(Object.keys(all)).toHaveLength(24)
  const last = logFiles(whole).length - 1
  for (const number of [0, 1]) {
    const bounds = frameBounds(readFileSync(logFiles(whole)[number]!))
    for (const at of [3, 20, 55, ...bounds.slice(0, -1).map((bound) => bound + 10), bounds.at(-1)! - 1]) {
      const dir = copyOf(whole)
      flip(logFiles(dir)[number]!, at)
      const { values, lines } = await openedState(dir)
      expect(values).toEqual(all)
      expect(lines.length).toBeLessThanOrEqual(1)
      for (const line of lines) expect(line).toMatch(/is damaged at byte \d+; the tables have what it held/)
      expect(faultsOfTables(dir)).toEqual([])
    }
  }
  const bounds = frameBounds(readFileSync(logFiles(whole)[last]!))
  flip(logFiles(whole)[last]!, bounds[0]! + 10)
  expect(await refusalOf(whole)).toContain(`is damaged at byte ${bounds[0]}`)
})

test('a segment of which the tables have a part is flushed past the damage in that part', async () => {
  const dir = await killedLog(four)
  const db = openForWriting(join(dir, 'kvist.db'))
  const [segment] = readLog(dir, readMeta(db)).segments
  const { number, path, chunk } = segment!
  // The tables have the first two commits of the segment.
  flushSegments(db, [{ number, path, memory: chunk.bytes.buffer, lastRevision: 4 }])
  db.close()
  flip(path, frameBounds(readFileSync(path))[1]! + 40)
  const { values, lines } = await openedState(dir)
  expect(Object.keys(values)).toHaveLength(8)
  expect(lines).toHaveLength(1)
  expect(logFiles(dir)).toEqual([])
  expect(faultsOfTables(dir)).toEqual([])
  expect((await openedState(dir)).values).toEqual(values)
})

test('a log of the format before is read to its end, and taken into the tables', async () => {
  const dir = await killedLog(four)
  const [path] = logFiles(dir)
  const bytes = inFormat2(readFileSync(path!))
  writeFileSync(path!, bytes)
  const { values, lines, revision } = await openedState(dir)
  expect(Object.keys(values)).toEqual(['a', 'a2', 'b', 'b2', 'c', 'c2', 'd', 'd2'])
  expect([lines, revision]).toEqual([[], 8])
  expect(logFiles(dir)).toEqual([])
  expect((await openedState(dir)).values).toEqual(values)
})

test.each([
  [1, ['a', 'a2']],
  [0, []],
])('a log of the format before with %d commits is read as well', async (commits, keys) => {
  const dir = await killedLog(four)
  const path = logFiles(dir)[0]!
  const bytes = readFileSync(path)
  writeFileSync(path, inFormat2(bytes.fill(0, frameBounds(bytes)[commits])))
  const { values, lines } = await openedState(dir)
  expect([Object.keys(values), lines]).toEqual([keys, []])
  expect((await openedState(dir)).values).toEqual(values)
})

/** The same segment as kvist wrote it in format 2. */
function inFormat2(bytes: Buffer): Buffer {
  const old = Buffer.alloc(bytes.length)
  bytes.copy(old, 0, 0, headerAt.salt)
  old.writeUInt32LE(2, headerAt.format)
  old.writeUInt32LE(0, headerAt.crc)
  let crc = Bun.hash.crc32(old.subarray(0, segmentHeaderBytes))
  old.writeUInt32LE(crc, headerAt.crc)
  let at = segmentHeaderBytes
  const bounds = frameBounds(bytes)
  for (const [i, bound] of bounds.slice(0, -1).entries()) {
    const records = bytes.subarray(bound + frameHeaderBytes, bounds[i + 1])
    crc = Bun.hash.crc32(records, crc)
    old.writeUInt32LE(records.length, at)
    old.writeUInt32LE(crc, at + 4)
    records.copy(old, at + 8)
    at += 8 + records.length
  }
  return old
}

/**
 * Bits are flipped all over a log of several segments, some of which the tables have. A store either opens with every
 * member right, but for a last frame that it says was cut; or is refused, and then opens with a beginning of what was
 * written when the damage is accepted.
 */
test('bits flipped anywhere in a log: every member is right, or the store is refused', async () => {
  const r = random(seedOfRun())
  const stores = await Promise.all([0, 1, 2].map(randomStore))
  const outcomes = { right: 0, cut: 0, refused: 0 }
  await together(Array(isLongRun ? 150 : 75), checkDamaged)
  for (const count of Object.values(outcomes)) expect(count).toBeGreaterThan(0)

  async function checkDamaged(): Promise<void> {
    const store = r.pick(stores)
    const dir = copyOf(store.dir)
    for (let flips = 1 + r.int(3); flips > 0; flips--) {
      const path = r.pick(logFiles(dir))
      const used = frameBounds(readFileSync(path)).at(-1)!
      flip(path, r.oneIn(8) ? r.int(segmentHeaderBytes) : r.int(used), 1 << r.int(8))
    }
    const opened = await open(dir)
    if ('refusal' in opened) {
      outcomes.refused++
      const [, name = ''] = /--accept-damaged-log (\S+)$/.exec(opened.refusal) ?? []
      const { values, revision } = await openedState(dir, name)
      expect(store.states).toContainEqual(values)
      const [, behind = '0'] = /up to revision (\d+)/.exec(opened.refusal) ?? []
      expect(revision).toBeGreaterThanOrEqual(Number(behind))
      return
    }
    const { engine, lines } = opened
    const values = await valuesOf(engine)
    await engine.close()
    const isCut = lines.some((line) => line.includes('did not finish'))
    outcomes[isCut ? 'cut' : 'right']++
    if (isCut) expect(store.states.slice(-2)).toContainEqual(values)
    else expect(values).toEqual(store.states.at(-1)!)
  }

  async function randomStore(applied: number) {
    const dir = newFolder()
    const states: Record<string, Value>[] = [{}]
    const killed = await withEngine(
      dir,
      async (engine) => {
        const held = holdTables(dir)
        for (let i = 0; logFiles(dir).length < 5; i++) {
          const before = states.at(-1)!
          const after = { ...before }
          const writes = Array.from({ length: 1 + r.int(4) }, (_, j) => {
            const key = `k${r.int(30)}`
            const value = JSON.stringify(`${i}.${j}${'x'.repeat(r.int(60))}`)
            if (r.oneIn(4)) delete after[key]
            else after[key] = value
            return key in after ? put(key, after[key]) : remove(key)
          })
          await write(engine, writes)
          states.push(after)
        }
        const copy = killedCopy(dir)
        held.release()
        return copy
      },
      { segmentBytes: 2048 },
    )
    const db = openForWriting(join(killed, 'kvist.db'))
    const log = readLog(killed, readMeta(db)).segments
    for (const { number, path, chunk, runs } of log.slice(0, applied)) {
      flushSegments(db, [{ number, path, memory: chunk.bytes.buffer, lastRevision: runs[0]!.lastRevision }])
    }
    db.close()
    expect(readdirSync(killed)).toContain('log-00000005')
    return { dir: killed, states }
  }
})
