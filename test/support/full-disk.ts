/**
 * Brings a store to the end of its disk and back: `full-disk.ts <where> <folder>`, where the folder is on a file system
 * of a few MB and `where` says what is to find it full. Prints what it saw as one line of JSON (FullDisk);
 * src/engines/sqlite/full-disk.test.ts says what it should have seen.
 */
import { Database } from 'bun:sqlite'
import {
  closeSync,
  existsSync,
  openSync,
  readdirSync,
  rmSync,
  statSync,
  truncateSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { KvistError } from '../../src/core/errors.ts'
import type { SqliteEngine } from '../../src/engines/sqlite/engine.ts'
import { openSqlite } from '../../src/engines/sqlite/engine.ts'
import { feedOf, put, remove, valuesOf, write } from './engine-writes.ts'

export interface FullDisk {
  /** What was acknowledged while there was no room, and the error of the next commit. */
  readonly batchesWhileFull: number
  readonly faults: string[]
  /** Members deleted while there was no room, and what ended that; null when all were deleted. */
  readonly deletes: number
  readonly deleteFault: string | null
  /** How far the tables were behind the log then, in revisions, and how many segments the log had. */
  readonly behind: number
  readonly segments: number
  /** Files of the log that are not as long as they should be. */
  readonly halfSegments: number
  /** What readers found missing, or found though it was refused: while full, with room again, and after restarts. */
  readonly wrong: string[]
  /** What an engine that was opened on the full disk said. */
  readonly openedWhileFull: string
  /** The error of a snapshot that found no room, and what it left there. */
  readonly snapshot: { readonly fault: string; readonly left: boolean }
}

const [where, dir] = process.argv.slice(2)
if (dir === undefined) throw new Error('name the folder')
const filler = join(dir, '..', 'filler')
const segmentBytes = 128 * 1024
const value = JSON.stringify('x'.repeat(4000))

/** What was acknowledged, and is there as long as this program says so. */
const expected = new Map<string, string>()
const wrong: string[] = []
let batches = 0
let lastRevision = 0

let engine = await open()
if (where === 'tables') await useFilesAgain()
else await writeBatch()
await writeSmall()
await expectAll('before')

// What is left is too little for a segment; the tables could do with it.
fillDisk(where === 'tables' ? 0 : segmentBytes / 2)
const before = batches
const faults = [await writeUntilFull()]
await expectAll('while full')
for (let i = 0; i < 5; i++) faults.push((await faultOfBatch()) ?? 'done')
await expectAll('after more tries')
const { behind, segments, halfSegments } = lagOfTables()
const batchesWhileFull = batches - before
const [deletes, deleteFault] = await deleteMembers()
await expectAll('after deletes')

rmSync(filler)
await writeAgain()
await expectAll('with room again')
await reopen()
await expectAll('after a restart')
const snapshot = await snapshotWithoutRoom(join(dir, '..', 'snapshot'))
await expectAll('after the snapshot')

fillDisk()
await writeUntilFull()
await engine.close()
const openedWhileFull = await open().then(
  async (opened) => {
    engine = opened
    await expectAll('after a restart without room')
    await engine.close()
    return 'opened'
  },
  (error: unknown) => (error instanceof Error ? error.message : String(error)),
)
rmSync(filler)
engine = await open()
await expectAll('after a restart with room')
await writeAgain()
await reopen()
await expectAll('in the end')
await engine.close()

const seen: FullDisk = {
  batchesWhileFull,
  faults,
  deletes,
  deleteFault,
  behind,
  segments,
  halfSegments,
  wrong,
  openedWhileFull,
  snapshot,
}
console.log(JSON.stringify(seen))

function open(): Promise<SqliteEngine> {
  return openSqlite({ dir: dir!, durability: 'full', onCommit: () => {}, segmentBytes })
}

async function reopen(): Promise<void> {
  await engine.close()
  engine = await open()
}

/** Writes over a few members until the log has files of before to go on with, so that it needs no more room. */
async function useFilesAgain(): Promise<void> {
  for (let i = 0; i < 200; i++) {
    await write(engine, [put(`warm${i % 3}`, value)])
    expected.set(`warm${i % 3}`, value)
  }
  while (filesOf('log-') > 1 || filesOf('spare-') === 0) await Bun.sleep(10)
}

function filesOf(kind: string): number {
  return readdirSync(dir!).filter((name) => name.startsWith(kind)).length
}

/** A batch of five members, one of which takes the place of that of the batch before. */
async function writeBatch(): Promise<void> {
  const keys = [0, 1, 2, 3].map((i) => `batch${batches}-${i}`)
  const gone = `batch${batches - 1}-0`
  const written = await write(engine, [...keys.map((key) => put(key, value)), remove(gone)])
  lastRevision = Math.max(...written.map(({ revision }) => revision))
  for (const key of keys) expected.set(key, value)
  expected.delete(gone)
  batches++
}

/** Members whose deletes take more room in the log than a segment has. */
async function writeSmall(): Promise<void> {
  for (let i = 0; i < 30; i++) {
    const keys = Array.from({ length: 100 }, (_, j) => `small${i}-${j}`)
    await write(
      engine,
      keys.map((key) => put(key, '1')),
    )
    for (const key of keys) expected.set(key, '1')
  }
}

/** Deletes members on the full disk. `reserve`: while another program takes all the room that is given back. */
async function deleteMembers(): Promise<[number, string | null]> {
  let deletes = 0
  for (const key of [...expected.keys()].filter((one) => /^(small|batch.*-3)/.test(one))) {
    if (where === 'reserve') fillFurther()
    const fault = await write(engine, [remove(key)]).then(() => null, codeOf)
    if (fault !== null) return [deletes, fault]
    expected.delete(key)
    deletes++
  }
  return [deletes, null]
}

function codeOf(error: unknown): string {
  return error instanceof KvistError ? error.code : String(error)
}

async function faultOfBatch(): Promise<string | null> {
  try {
    await writeBatch()
    return null
  } catch (error) {
    return codeOf(error)
  }
}

async function writeUntilFull(): Promise<string> {
  for (let i = 0; i < 1000; i++) {
    const fault = await faultOfBatch()
    if (fault !== null) return fault
  }
  return 'never full'
}

/** There is room again: the next try, or one soon after it, is done. */
async function writeAgain(): Promise<void> {
  for (let tries = 0; tries < 50; tries++) {
    if ((await faultOfBatch()) === null) return
    await Bun.sleep(200)
  }
  wrong.push('writes did not go on')
}

async function expectAll(when: string): Promise<void> {
  const values = await valuesOf(engine)
  const keys = new Set([...Object.keys(values), ...expected.keys()])
  for (const key of keys) if (values[key] !== expected.get(key)) wrong.push(`${when}: ${key}`)
  const feed = await feedOf(engine)
  const puts = feed.flatMap((change) => (change.type === 'put' ? [change.member.key] : []))
  if (puts.length !== expected.size) wrong.push(`${when}: ${puts.length} members in the feed`)
  const [stats] = await engine.collections()
  if (stats?.members !== expected.size) wrong.push(`${when}: ${stats?.members} members counted`)
}

/** The tables have the little that they need, the copy has not. */
async function snapshotWithoutRoom(path: string): Promise<FullDisk['snapshot']> {
  for (let i = 0; i < 20; i++) await writeBatch()
  await reopen()
  fillDisk(160 * 1024)
  const fault = await engine.snapshot(path).then(
    () => 'done',
    (error: unknown) => (error instanceof KvistError ? error.code : String(error)),
  )
  rmSync(filler)
  return { fault, left: existsSync(path) }
}

function fillDisk(leftBytes = 0): void {
  const fd = openSync(filler, 'w')
  const page = Buffer.alloc(4096)
  try {
    for (;;) writeSync(fd, page)
  } catch {
    // Now it is full.
  }
  closeSync(fd)
  truncateSync(filler, statSync(filler).size - leftBytes)
}

/** Takes the room that has come back since. */
function fillFurther(): void {
  const fd = openSync(filler, 'a')
  const page = Buffer.alloc(4096)
  try {
    for (;;) writeSync(fd, page)
  } catch {
    // Now it is full again.
  }
  closeSync(fd)
}

function lagOfTables(): Pick<FullDisk, 'behind' | 'segments' | 'halfSegments'> {
  const db = new Database(join(dir!, 'kvist.db'), { readonly: true })
  const applied = Number(db.query("SELECT value FROM meta WHERE name = 'flushed_revision'").values()[0]?.[0])
  db.close()
  const log = readdirSync(dir!).filter((name) => name.startsWith('log-'))
  const halves = log.filter((name) => statSync(join(dir!, name)).size < segmentBytes)
  return { behind: lastRevision - applied, segments: log.length, halfSegments: halves.length }
}
