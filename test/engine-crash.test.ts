import { Database } from 'bun:sqlite'
import { expect, test } from 'bun:test'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Engine, Write } from '../src/core/engine.ts'
import { keyOf, revisionOf } from '../src/core/member.ts'
import { type BatchName, batchOf, markOf, writers } from './support/crash-batches.ts'
import { killedCopy, newFolder, withEngine } from './support/engine.ts'
import { collection, feedOf } from './support/engine-writes.ts'
import { type Random, random, seedOfRun } from './support/random.ts'

/**
 * A process that writes is killed at random moments, over and over, and never stops cleanly between. Segments are
 * small, so that kills hit the change from one to the next, applying, using files again, and replaying at the start.
 * After each kill a copy of the store is opened and must have every batch that was acknowledged, whole, and of the one
 * that each writer had under way all or nothing.
 */
const lives = Number(process.env.KVIST_CRASH_LIVES ?? 25)

/** What is known of the store: for each key its last write and, where it was acknowledged, its revision. */
interface Known {
  readonly writes: Map<string, Write>
  readonly revisions: Map<string, number>
  batches: number
}

test(`what was acknowledged outlives ${lives} kills`, async () => {
  const r = random(seedOfRun())
  const dir = newFolder()
  const known: Known = { writes: new Map(), revisions: new Map(), batches: 0 }
  for (let life = 0; life < lives; life++) {
    const acknowledged = await liveAndBeKilled(dir, life, r)
    const copy = killedCopy(dir)
    await withEngine(copy, (engine) => expectKnown(engine, known, acknowledged, life))
    expectTables(copy)
    rmSync(copy, { recursive: true })
  }
  console.log(`${known.batches} batches were acknowledged`)
  expect(known.batches).toBeGreaterThan(lives)
}, 600_000)

/** The batches that a life acknowledged: for each writer the revisions of their last writes, in order. */
type Acknowledged = readonly (readonly number[])[]

async function liveAndBeKilled(dir: string, life: number, r: Random): Promise<Acknowledged> {
  const segmentBytes = r.pick([4096, 16 * 1024, 64 * 1024])
  const program = join(import.meta.dir, 'support/engine-writer.ts')
  const child = Bun.spawn([process.execPath, program, dir, String(life), String(segmentBytes)], {
    stdout: 'pipe',
    stderr: 'pipe',
  })
  const isKilledAtStart = life > 0 && r.oneIn(5)
  const kill = () => child.kill('SIGKILL')
  if (isKilledAtStart) setTimeout(kill, 20 + r.int(100))
  const lifeMs = r.int(350)
  let said = ''
  for await (const part of child.stdout.pipeThrough(new TextDecoderStream())) {
    if (said === '' && !isKilledAtStart) setTimeout(kill, lifeMs)
    said += part
  }
  expect(await child.stderr.text()).toBe('')
  await child.exited
  expect(child.signalCode).toBe('SIGKILL')
  const acknowledged: number[][] = Array.from({ length: writers }, () => [])
  for (const [, writer, number, revision] of said.matchAll(/^ok (\d+) (\d+) (\d+)$/gm)) {
    const own = acknowledged[Number(writer)]!
    expect(own.push(Number(revision))).toBe(Number(number) + 1)
  }
  return acknowledged
}

/** Takes note of what the life wrote, and holds the store to all that is known. */
async function expectKnown(
  engine: Engine,
  known: Known,
  acknowledged: Acknowledged,
  life: number,
): Promise<void> {
  for (const [writer, revisions] of acknowledged.entries()) {
    for (const [number, revision] of revisions.entries()) note(known, { life, writer, number }, revision)
    known.batches += revisions.length
    // The batch that was under way came to be or did not; its mark says which.
    const under = { life, writer, number: revisions.length }
    const mark = await engine.read(collection, markOf(under))
    if (mark !== null) note(known, under, mark.revision)
  }
  const feed = await feedOf(engine)
  const revisions = feed.map(revisionOf)
  expect(revisions).toEqual(revisions.toSorted((a, b) => a - b))
  expect(feed.map(keyOf).toSorted()).toEqual([...known.writes.keys()].toSorted())
  let members = 0
  let bytes = 0
  for (const change of feed) {
    const key = keyOf(change)
    const write = known.writes.get(key)!
    expect([key, change.type]).toEqual([key, write.op])
    if (known.revisions.has(key)) expect([key, revisionOf(change)]).toEqual([key, known.revisions.get(key)!])
    const member = await engine.read(collection, key)
    expect(member?.value).toEqual(write.op === 'put' ? write.value : undefined)
    if (member === null) continue
    members++
    bytes += Buffer.byteLength(key) + member.value.length
  }
  expect(await engine.collections()).toEqual(members === 0 ? [] : [{ name: collection, members, bytes }])
}

function note(known: Known, batch: BatchName, revision: number): void {
  for (const write of batchOf(batch)) {
    const before = known.writes.get(write.key)
    // A delete of what is not there does nothing, and the feed has nothing of it.
    if (write.op === 'delete' && before?.op !== 'put') continue
    known.writes.set(write.key, write)
    known.revisions.delete(write.key)
  }
  known.revisions.set(markOf(batch), revision)
}

/** What the tables themselves say, read as anybody may who has the sqlite3 shell. */
function expectTables(dir: string): void {
  const db = new Database(join(dir, 'kvist.db'), { readonly: true })
  const rows = (sql: string) => db.query(sql).values()
  expect(rows('PRAGMA integrity_check')).toEqual([['ok']])
  expect(
    rows('SELECT collection, count(*), sum(octet_length(key) + octet_length(value)) FROM members GROUP BY 1'),
  ).toEqual(rows('SELECT name, members, bytes FROM collections'))
  const [[newest, applied]] = rows(`SELECT
    (SELECT coalesce(max(revision), 0) FROM (SELECT revision FROM members UNION SELECT revision FROM tombstones)),
    (SELECT value FROM meta WHERE name = 'applied_revision')`) as [[number, number]]
  expect(newest).toBeLessThanOrEqual(applied)
  expect(rows('SELECT key FROM members INTERSECT SELECT key FROM tombstones')).toEqual([])
  db.close()
}
