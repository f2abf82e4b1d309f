import { msToStamp } from '../core/clock.ts'
import { type Database, wholeCollection } from '../core/database.ts'
import { jsonContentType } from '../core/member.ts'
import { mirrorsCollection } from './progress.ts'

/**
 * When this store was written to, by the stamps of its writes, in a collection of kvist's own. A store cannot know that it is
 * an older copy of itself, put back; but it knows when it did not run. What was written then, with its node id, was written by
 * the store that the copy has replaced. So each start notes a gap: from the last stamp that this store is known to
 * have given, that of the progress of its mirrors, up to now.
 */

const historyCollection = '_history'
const gapsKey = 'gaps'
/** Beyond this many the two oldest gaps become one, with what is between them. */
const maxGaps = 500

type Gap = readonly [after: number, upTo: number]

/** Returns whether a write of this node with a stamp was made by this store. */
export type WroteHere = (stamp: number) => boolean

/**
 * Notes the start of the store, which must not have sent anything yet. What was written before the first start that was noted
 * counts as its own. `maxAheadMs` is by how much the clocks of nodes, and with them stamps, may differ.
 */
export async function noteStart(
  db: Pick<Database, 'get' | 'all' | 'write'>,
  nowMs: number,
  maxAheadMs: number,
): Promise<WroteHere> {
  const known = await db.get(historyCollection, gapsKey)
  const before: readonly Gap[] = known === null ? [] : JSON.parse(String(known.value))
  const gaps =
    known === null ? [] : withGap(before, [await lastStamp(db, known.clock), msToStamp(nowMs + maxAheadMs)])
  const value = JSON.stringify(gaps)
  const content = { value, contentType: jsonContentType, flags: 0, expiresAtMs: null }
  await db.write([{ op: 'put', collection: historyCollection, key: gapsKey, ...content }])
  return (stamp) => gaps.every(([after, upTo]) => stamp <= after || stamp > upTo)
}

async function lastStamp(db: Pick<Database, 'all'>, noted: number): Promise<number> {
  let last = noted
  for await (const members of db.all(mirrorsCollection, wholeCollection))
    for (const { clock } of members) last = Math.max(last, clock)
  return last
}

function withGap(gaps: readonly Gap[], gap: Gap): readonly Gap[] {
  const all = [...gaps, gap]
  if (all.length <= maxGaps) return all
  const [first, second, ...rest] = all as [Gap, Gap, ...Gap[]]
  return [[first[0], Math.max(first[1], second[1])], ...rest]
}
