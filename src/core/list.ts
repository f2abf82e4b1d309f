import type { Engine, ScanRange } from './engine.ts'
import { rawElements, rawMembers } from './json.ts'
import { earlierKey, laterKey, prefixEnd } from './keys.ts'
import { maxExaminedMembers, maxPageBytes } from './limits.ts'
import { isExpired, type Member } from './member.ts'
import type { Pattern } from './pattern.ts'
import { nextTurn } from './turn.ts'

/** Which members of a collection are meant. */
export interface Selection {
  readonly prefix: string
  /** On the key. */
  readonly filter: Pattern | null
  /** On any top-level value, as text. */
  readonly match: Pattern | null
  /** The first key, inclusive. */
  readonly from: string | null
  /** The first key past the end. */
  readonly to: string | null
}

export const everything: Selection = { prefix: '', filter: null, match: null, from: null, to: null }

export interface ListQuery extends Selection {
  readonly order: 'asc' | 'desc'
  readonly limit: number
  /** Where an earlier page said to go on; null for the start. */
  readonly cursor: string | null
  readonly keysOnly: boolean
}

export interface Page {
  readonly members: Member[]
  /** The cursor of the next page; null when this is the last. */
  readonly next: string | null
}

/** The stretch of keys that a selection lies in: the narrower, the less is looked at. */
export function keyRange({ prefix, filter, from, to }: Selection): {
  from: string | null
  to: string | null
} {
  let low = from
  let high = to
  for (const start of [prefix, filter?.prefix ?? '']) {
    if (start === '') continue
    low = laterKey(low, start)
    high = earlierKey(high, prefixEnd(start))
  }
  return { from: low, to: high }
}

/**
 * One page. A filter that leaves out much ends it early, after looking at a bounded number of members: the page is
 * short then, or empty, and its cursor goes on.
 */
export async function listPage(
  engine: Engine,
  collection: string,
  query: ListQuery,
  nowMs: number,
): Promise<Page> {
  const { order, limit } = query
  const range = keyRange(query)
  // A cursor of another query must not lead out of this one's range.
  let from = order === 'asc' ? laterKey(query.cursor, range.from) : range.from
  let to = order === 'desc' ? earlierKey(query.cursor, range.to) : range.to
  const members: Member[] = []
  let examined = 0
  let bytes = 0
  for (;;) {
    const asked = scanRange(collection, query, from, to, limit - members.length)
    const scanned = engine.scan(asked)
    const page = scanned instanceof Promise ? await scanned : scanned
    for (const member of page.members) {
      if (!isSelected(member, query, nowMs)) continue
      members.push(member)
      bytes += member.value.length
    }
    examined += Math.max(page.members.length, asked.limit)
    if (page.next === null) return { members, next: null }
    const isFull = members.length >= limit || bytes >= maxPageBytes
    if (isFull || examined >= maxExaminedMembers) return { members, next: page.next }
    if (order === 'asc') from = page.next
    else to = page.next
    await nextTurn()
  }
}

/**
 * Everything that a query selects, a part at a time; its limit and cursor are not looked at. Where a filter leaves out
 * much, parts may be empty: whoever waits sees that there is progress.
 */
export async function* listAll(
  engine: Engine,
  collection: string,
  query: ListQuery,
  now: () => number,
): AsyncGenerator<Member[]> {
  let cursor: string | null = null
  do {
    const page = await listPage(engine, collection, { ...query, limit: streamedMembers, cursor }, now())
    yield page.members
    cursor = page.next
    await nextTurn()
  } while (cursor !== null)
}

/** Members in one part of a stream: few enough that others do not wait for them. */
const streamedMembers = 500
/** With a filter more are looked at than returned. */
const filteredScan = 1000

function scanRange(
  collection: string,
  query: ListQuery,
  from: string | null,
  to: string | null,
  left: number,
): ScanRange {
  const filtered = query.filter !== null || query.match !== null
  return {
    collection,
    from,
    to,
    order: query.order,
    limit: filtered ? Math.min(left, filteredScan) : left,
    keysOnly: query.keysOnly && query.match === null,
  }
}

function isSelected(member: Member, { filter, match }: Selection, nowMs: number): boolean {
  if (isExpired(member, nowMs)) return false
  if (filter !== null && !filter.matches(member.key)) return false
  return match === null || topLevelValues(member).some((value) => match.matches(value))
}

/** The values of an object's members, the elements of an array, or the value itself: strings as their text, others
 * as their JSON. Bytes have none. */
function topLevelValues({ value }: Member): string[] {
  if (typeof value !== 'string') return []
  const first = /\S/.exec(value)?.[0]
  if (first === '{') return [...rawMembers(value).values()].map(asText)
  if (first === '[') return rawElements(value).map(asText)
  return [asText(value)]
}

function asText(json: string): string {
  const trimmed = json.trim()
  return trimmed.startsWith('"') ? String(JSON.parse(trimmed)) : trimmed
}
