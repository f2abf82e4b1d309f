import { expect, test } from 'bun:test'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Engine, Write } from '../src/core/engine.ts'
import { keyOf, revisionOf } from '../src/core/member.ts'
import { type BatchName, batchOf, markOf, renewedUntil, writers } from './support/crash-batches.ts'
import { faultsOfTables, killedCopy, newFolder, withEngine } from './support/engine.ts'
import { collection, feedOf } from './support/engine-writes.ts'
import { isLongRun } from './support/long-run.ts'
import { type Random, random, seedOfRun } from './support/random.ts'

/**
 * A process that writes is killed at random moments, over and over, and never stops cleanly between. Segments are
 * small, so that kills hit the change from one to the next, applying, using files again, and replaying at the start.
 * After each kill a copy of the store is opened and must have every batch that was acknowledged, whole, and of the one
 * that each writer had under way all or nothing. Renewals that were acknowledged are kept as well.
 */
const lives = Number(process.env.KVIST_CRASH_LIVES ?? (isLongRun ? 50 : 12))

/** What is known of the store: for each key its last write and, where it was acknowledged, its revision. */
interface Known {
  readonly writes: Map<string, Write>
  readonly revisions: Map<string, number>
  /** Marks that were renewed, with the expiry that they got. */
  readonly renewed: Map<string, number>
  batches: number
}

test(`what was acknowledged outlives ${lives} kills`, async () => {
  const r = random(seedOfRun())
  const dir = newFolder()
  const known: Known = { writes: new Map(), revisions: new Map(), renewed: new Map(), batches: 0 }
  for (let life = 0; life < lives; life++) {
    const acknowledged = await liveAndBeKilled(dir, life, r)
    const copy = killedCopy(dir)
    await withEngine(copy, (engine) => expectKnown(engine, known, acknowledged, life))
    expect(faultsOfTables(copy)).toEqual([])
    rmSync(copy, { recursive: true })
  }
  console.log(`${known.batches} batches were acknowledged`)
  expect(known.batches).toBeGreaterThan(lives / 4)
})

/** The batches that a life acknowledged: for each writer the revisions of their last writes, in order. */
interface Acknowledged {
  readonly batches: readonly (readonly number[])[]
  /** How many of the marks of each writer, from the first on, were renewed. */
  readonly renewals: readonly number[]
}

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
  // On a busy machine it may take longer than that from the start to the first batch.
  const from = r.int(3) === 0 ? 'open' : 'ok'
  let isEnding = isKilledAtStart
  let said = ''
  for await (const part of child.stdout.pipeThrough(new TextDecoderStream())) {
    said += part
    if (isEnding || !said.includes(from)) continue
    isEnding = true
    setTimeout(kill, lifeMs)
  }
  expect(await child.stderr.text()).toBe('')
  await child.exited
  expect(child.signalCode).toBe('SIGKILL')
  const acknowledged: number[][] = Array.from({ length: writers }, () => [])
  for (const [, writer, number, revision] of said.matchAll(/^ok (\d+) (\d+) (\d+)$/gm)) {
    const own = acknowledged[Number(writer)]!
    expect(own.push(Number(revision))).toBe(Number(number) + 1)
  }
  const renewals = acknowledged.map(() => 0)
  for (const [, writer] of said.matchAll(/^renewed (\d+) \d+$/gm)) renewals[Number(writer)]!++
  return { batches: acknowledged, renewals }
}

/** Takes note of what the life wrote, and holds the store to all that is known. */
async function expectKnown(
  engine: Engine,
  known: Known,
  acknowledged: Acknowledged,
  life: number,
): Promise<void> {
  for (const [writer, revisions] of acknowledged.batches.entries()) {
    for (let number = 0; number < acknowledged.renewals[writer]!; number++) {
      const name = { life, writer, number }
      known.renewed.set(markOf(name), renewedUntil(name))
    }
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
    if (known.renewed.has(key)) expect([key, member.expiresAtMs]).toEqual([key, known.renewed.get(key)!])
    expect(change.type === 'put' && change.member).toEqual(member)
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
