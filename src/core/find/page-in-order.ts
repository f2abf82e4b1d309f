import { maxCountedMembers, maxExaminedMembers, smallPageBytes } from '../limits.ts'
import type { Member } from '../member.ts'
import type { UsableIndex } from './current-indexes.ts'
import { type FindCursor, formatCursor } from './cursor.ts'
import type { FindPlan } from './plan.ts'
import type { FoundPage } from './query.ts'
import { acceptor, candidates, matchAcceptor, presenter, type Search } from './search.ts'

/** Returns a page of members that are read in the order of the query: it ends when it is full. */
export async function pageInOrder(
  search: Search,
  plan: FindPlan<UsableIndex>,
  cursor: FindCursor | null,
): Promise<FoundPage> {
  const { query, isPart, memory } = search
  const accepts = acceptor(search)
  const acceptsMatch = matchAcceptor(search)
  const present = presenter(query)
  const reading = candidates(search, plan, cursor, query.limit)
  const members: Member[] = []
  let bytes = 0
  let hasMemory = false
  /** The index of the last member of the part that was read last. */
  let last = -1

  function page(next: FindCursor | null, isComplete: boolean): FoundPage {
    return {
      members,
      next: next === null ? null : formatCursor(next),
      isComplete,
      count: null,
      explanation: {
        index: plan.by.index?.name ?? null,
        examined: reading.examined,
        isSortedInMemory: false,
      },
    }
  }

  for (;;) {
    const part = await reading.next(bytes)
    if (part === null) return page(null, true)
    if (part.isFull) return page(reading.cursorAfter(last), true)
    last = part.members.length - 1
    const isWanted = part.areMatches ? acceptsMatch : accepts
    for (let i = 0; i <= last; i++) {
      const member = part.members[i]!
      if (member === null || !isWanted(member)) continue
      const found = present(member)
      members.push(found)
      bytes += found.value.length
      if (members.length === query.limit) return page(reading.cursorAfter(i), true)
    }
    if (reading.examined >= maxExaminedMembers) {
      const next = reading.cursorAfter(last)
      return page(next, next === null)
    }
    if (bytes <= smallPageBytes) continue
    if (isPart) return page(reading.cursorAfter(last), true)
    if (!hasMemory) await memory.reserve()
    hasMemory = true
  }
}

/**
 * Counts the members of a search; not all of them if more than `maxExaminedMembers` have to be examined, or of an index
 * more than `maxCountedMembers`.
 */
export async function countMatches(
  search: Search,
  plan: FindPlan<UsableIndex>,
): Promise<{ readonly count: number; readonly examined: number; readonly isComplete: boolean }> {
  const accepts = acceptor(search)
  const acceptsMatch = matchAcceptor(search)
  const most = plan.by.index === null ? maxExaminedMembers : maxCountedMembers
  const reading = candidates(search, plan, null, Number.POSITIVE_INFINITY, most)
  let count = 0
  for (;;) {
    const part = await reading.next(0)
    if (part === null) return { count, examined: reading.examined, isComplete: true }
    const isWanted = part.areMatches ? acceptsMatch : accepts
    for (const member of part.members) if (member !== null && isWanted(member)) count++
    if (reading.examined < most) continue
    return { count, examined: reading.examined, isComplete: reading.isAtEnd }
  }
}
