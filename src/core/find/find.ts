import { KvistError } from '../errors.ts'
import { maxExaminedMembers } from '../limits.ts'
import type { PageOptions } from '../list.ts'
import type { Member } from '../member.ts'
import type { MemberVisitor } from '../member-visitor.ts'
import { nextTick } from '../next-tick.ts'
import { type PageMemory, unlimitedMemory } from '../page-memory.ts'
import { type UsableIndex, withCurrentIndexes } from './current-indexes.ts'
import { type FindCursor, formatCursor, parseCursor } from './cursor.ts'
import type { FindOrder } from './expressions.ts'
import { IndexScan } from './index-scan.ts'
import { orderOfText, orderText } from './ordered.ts'
import { countMatches, pageInOrder } from './page-in-order.ts'
import { type FindPlan, plansOf, suggestedIndex } from './plan.ts'
import type { FindQuery, FoundPage, FoundSummary } from './query.ts'
import { candidates, type FindSource, type Search } from './search.ts'
import { membersAt, sortedPage, sortedPositions } from './sorted.ts'

/** Finds the members that a query selects (query.ts), by pages: in order as they are read, or sorted in memory. */

/**
 * Returns one page. At most `maxExaminedMembers` are examined for it, and as many to count: what was found so far is returned
 * then. Throws `no_index` if there are more of them to sort, and `invalid_cursor`.
 */
export async function findPage(
  source: FindSource,
  collection: string,
  query: FindQuery,
  nowMs: number,
  { memory = unlimitedMemory, isPart = false }: PageOptions = {},
): Promise<FoundPage> {
  const search: Search = { source, collection, query, nowMs, memory, isPart }
  const cursor = query.cursor === null ? null : parseCursor(query.cursor)
  const order = orderOf(query, cursor)
  const page = await withCurrentIndexes(source, () => firstPage(search, order, cursor))
  if (page === null) throw noIndex(query, order)
  if (!query.count || page.count !== null) return page
  return withCurrentIndexes(source, () => withCount(search, page, cursor))
}

/**
 * As `findPage`, for a visitor and without the members. Returns null for a page that an index does not give at once: what was
 * visited is void then, and `findPage` reads it.
 */
export function visitFound(
  source: FindSource,
  collection: string,
  query: FindQuery,
  nowMs: number,
  visitor: MemberVisitor,
): FoundSummary | null {
  const { filter, match, keysOnly, fields, count, limit } = query
  if (filter !== null || match !== null || keysOnly || fields !== null || count) return null
  const search: Search = { source, collection, query, nowMs, memory: unlimitedMemory, isPart: false }
  const cursor = query.cursor === null ? null : parseCursor(query.cursor)
  const [plan] = plansFor(search, orderOf(query, cursor), cursor)
  if (plan === undefined || plan.isSorted || plan.by.index === null) return null
  const scan = candidates(search, plan, cursor, limit)
  const visited = scan instanceof IndexScan ? scan.visit(nowMs, visitor) : null
  if (visited === null) return null
  const { next } = visited
  const explanation = { index: plan.by.index.name, examined: scan.examined, isSortedInMemory: false }
  return { next: next === null ? null : formatCursor(next), isComplete: true, count: null, explanation }
}

/** Returns the page of the first plan that can serve it; null if none can. */
async function firstPage(
  search: Search,
  order: FindOrder | null,
  cursor: FindCursor | null,
): Promise<FoundPage | null> {
  for (const plan of plansFor(search, order, cursor)) {
    const page = plan.isSorted
      ? await sortedPage(search, plan, cursor)
      : await pageInOrder(search, plan, cursor)
    if (page !== null) return page
  }
  return null
}

function plansFor(
  { source, collection, query }: Search,
  order: FindOrder | null,
  cursor: FindCursor | null,
): readonly FindPlan<UsableIndex>[] {
  const { where, within } = query
  // A position among keys may be none among the entries of an index.
  const indexes = within !== undefined || cursor?.by === 'key' ? [] : source.indexesOf(collection)
  return plansOf(where?.ranges ?? [], order, indexes)
}

/** Returns the order of a query: one without continues in that of its first page. */
function orderOf({ order }: FindQuery, cursor: FindCursor | null): FindOrder | null {
  if (cursor === null) return order
  if (cursor.by === 'key') return keyOrder(order)
  const { order: text, position } = cursor
  if (order !== null && orderText(order) !== text) throw otherCursor()
  const found = order ?? parsedOrder(text)
  if ((typeof found === 'string' ? 0 : found.length) !== position.texts.length) throw otherCursor()
  return found
}

/** Returns the order of a page that a position among keys is in. */
function keyOrder(order: FindOrder | null): FindOrder {
  if (order !== null && typeof order !== 'string') throw otherCursor()
  return order ?? 'asc'
}

function parsedOrder(text: string): FindOrder {
  try {
    return orderOfText(text)
  } catch {
    throw otherCursor()
  }
}

function otherCursor(): KvistError {
  return new KvistError('invalid_cursor', 'the cursor is not one of this list')
}

function noIndex({ where, within }: FindQuery, order: FindOrder | null): KvistError {
  const on = within === undefined ? suggestedIndex(where?.ranges ?? [], order) : null
  const would = on === null ? 'select fewer' : `an index on ${JSON.stringify(on)} would give the order`
  return new KvistError(
    'no_index',
    `there are more than ${maxExaminedMembers} members to sort, or their fields are too long together: ${would}`,
    { limit: maxExaminedMembers, ...(on === null ? {} : { index: { on } }) },
  )
}

/** Adds the number of all that match to a page. */
async function withCount(search: Search, page: FoundPage, cursor: FindCursor | null): Promise<FoundPage> {
  if (cursor === null && page.next === null) return { ...page, count: page.members.length }
  const plan = plansFor(search, null, null)[0]!
  const { count, examined, isComplete } = await countMatches(search, plan)
  const { explanation } = page
  return {
    ...page,
    count,
    isComplete: page.isComplete && isComplete,
    explanation: { ...explanation, examined: explanation.examined + examined },
  }
}

/** Members of a part of a stream, few enough that other requests do not wait for them. */
const streamedMembers = 500

/**
 * Yields the members that a query selects, at most its limit, in parts; its cursor is ignored. Parts may be empty, so that
 * the caller sees progress. Throws `no_index` before the first part if they cannot be sorted.
 */
export async function* findAll(
  source: FindSource,
  collection: string,
  query: FindQuery,
  now: () => number,
  memory: PageMemory = unlimitedMemory,
): AsyncGenerator<Member[]> {
  const search: Search = { source, collection, query, nowMs: now(), memory, isPart: true }
  const sorted = await withCurrentIndexes(source, () => sortedAll(search))
  if (sorted !== null) {
    yield* membersOf(search, sorted.positions, now)
    return
  }
  let left = query.limit
  let cursor: string | null = null
  do {
    const part: Search = {
      ...search,
      query: { ...query, limit: Math.min(left, streamedMembers) },
      nowMs: now(),
    }
    const from = cursor
    const page: FoundPage = await withCurrentIndexes(source, () => partFrom(part, from))
    yield page.members
    left -= page.members.length
    cursor = page.next
    await nextTick()
  } while (cursor !== null && left > 0)
}

/** Returns all positions in order where the best plan sorts them; null where another one gives the order. */
async function sortedAll(search: Search): Promise<Awaited<ReturnType<typeof sortedPositions>>> {
  const { query } = search
  const [best, next] = plansFor(search, query.order, null)
  if (!best!.isSorted) return null
  const sorted = await sortedPositions(search, best!, null, Math.min(query.limit, maxExaminedMembers))
  if (sorted === null && (next === undefined || next.isSorted)) throw noIndex(query, query.order)
  return sorted
}

/** Returns the next part of a stream by a plan that gives its order: that of its first part, unless an index is gone. */
async function partFrom(search: Search, from: string | null): Promise<FoundPage> {
  const cursor = from === null ? null : parseCursor(from)
  const order = orderOf(search.query, cursor)
  const plan = plansFor(search, order, cursor).find(({ isSorted }) => !isSorted)
  if (plan === undefined) throw noIndex(search.query, order)
  return pageInOrder(search, plan, cursor)
}

async function* membersOf(
  search: Search,
  positions: Parameters<typeof membersAt>[1],
  now: () => number,
): AsyncGenerator<Member[]> {
  for (let from = 0; from < positions.length; ) {
    const part = await membersAt({ ...search, nowMs: now() }, positions.slice(from, from + streamedMembers))
    yield part.members
    from += part.read
    await nextTick()
  }
}
