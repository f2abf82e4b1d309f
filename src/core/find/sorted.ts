import { maxExaminedMembers, maxPageBytes, smallPageBytes } from '../limits.ts'
import type { Member } from '../member.ts'
import type { UsableIndex } from './current-indexes.ts'
import { type FindCursor, fieldsCursor, formatCursor } from './cursor.ts'
import { KeyedReads } from './keyed-reads.ts'
import { comparer, FirstPositions, orderText, positioner, type SortPosition } from './ordered.ts'
import type { FindPlan } from './plan.ts'
import type { Explanation, FoundPage } from './query.ts'
import { acceptor, candidates, presenter, type Search } from './search.ts'

/** Sorts what a query selects: all of it is examined, and the positions of the first members are kept. */

/** The first positions of a search, in order. */
export interface Sorted {
  readonly positions: readonly SortPosition[]
  /** Of all that match, before the cursor too. */
  readonly count: number
  readonly explanation: Explanation
}

/**
 * Returns at most `most` positions after a cursor; null if more than `maxExaminedMembers` have to be examined, or if there is no
 * memory for the positions.
 */
export async function sortedPositions(
  search: Search,
  plan: FindPlan<UsableIndex>,
  cursor: FindCursor | null,
  most: number,
): Promise<Sorted | null> {
  const accepts = acceptor(search)
  const positionOf = positioner(plan.order)
  const compare = comparer(plan.order)
  const after = cursor?.by === 'fields' ? cursor.position : null
  const reading = candidates(search, plan, null, Number.POSITIVE_INFINITY)
  const first = new FirstPositions(most, compare)
  let count = 0
  for (;;) {
    const part = await reading.next(0)
    if (part === null) break
    for (const member of part.members) {
      if (member === null || !accepts(member)) continue
      count++
      const position = positionOf(member)
      if (after !== null && compare(position, after) <= 0) continue
      if (!first.add(position)) return null
    }
    if (reading.examined < maxExaminedMembers) continue
    if (!reading.isAtEnd) return null
  }
  const explanation = {
    index: plan.by.index?.name ?? null,
    examined: reading.examined,
    isSortedInMemory: true,
  }
  return { positions: first.sorted(), count, explanation }
}

/** Returns a page of what is sorted in memory; null as `sortedPositions` does. */
export async function sortedPage(
  search: Search,
  plan: FindPlan<UsableIndex>,
  cursor: FindCursor | null,
): Promise<FoundPage | null> {
  const { query } = search
  const sorted = await sortedPositions(search, plan, cursor, query.limit + 1)
  if (sorted === null) return null
  const { positions, count, explanation } = sorted
  const { members, read } = await membersAt(search, positions.slice(0, query.limit))
  const last = positions[read - 1]
  const next =
    read < positions.length && last !== undefined ? fieldsCursor(orderText(plan.order), last, null) : null
  return {
    members,
    next: next === null ? null : formatCursor(next),
    isComplete: true,
    count: query.count ? count : null,
    explanation,
  }
}

/**
 * Reads the members at positions, as far as a page may be large; `read` is the number of positions that it reaches. A member that
 * changed meanwhile is left out unless it still matches.
 */
export async function membersAt(
  search: Search,
  positions: readonly SortPosition[],
): Promise<{ readonly members: Member[]; readonly read: number }> {
  const { query, source, collection, memory, isPart } = search
  const accepts = acceptor(search)
  const present = presenter(query)
  const reads = new KeyedReads({ engine: source.engine, collection, memory, isPart })
  const members: Member[] = []
  let bytes = 0
  let read = 0
  let hasMemory = false
  while (read < positions.length) {
    const keys = positions.slice(read, read + readAtOnce).map(({ key }) => key)
    const part = await reads.read(keys, bytes)
    if (part.isFull) break
    read += part.members.length
    for (const member of part.members) {
      if (member === null || !accepts(member)) continue
      const found = present(member)
      members.push(found)
      bytes += found.value.length
    }
    if (bytes <= smallPageBytes) continue
    if (isPart || bytes >= maxPageBytes) break
    if (!hasMemory) await memory.reserve()
    hasMemory = true
  }
  return { members, read }
}

const readAtOnce = 500
