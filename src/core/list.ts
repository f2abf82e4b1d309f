import { rawElements, rawMembers } from '../json/scan.ts'
import type { Engine, ScanRange } from './engine.ts'
import { compareKeys, earlierKey, laterKey, prefixEnd } from './keys.ts'
import { maxExaminedMembers, maxPageBytes, smallPageBytes } from './limits.ts'
import { isExpired, type Member } from './member.ts'
import type { MemberVisitor } from './member-visitor.ts'
import { nextTick } from './next-tick.ts'
import { type PageMemory, unlimitedMemory } from './page-memory.ts'
import type { Pattern } from './pattern.ts'
import { ShownMembers } from './shown-members.ts'

/** Selects members of a collection. */
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
  /** `next` of an earlier page; null for the start. */
  readonly cursor: string | null
  readonly keysOnly: boolean
  /**
   * Lists one level of a hierarchy: keys that contain the delimiter after the prefix are grouped into one entry, named
   * by their common beginning up to and including the delimiter. If missing or null, every key is an entry.
   */
  readonly delimiter?: string | null
}

export interface Page {
  readonly members: Member[]
  /** The grouped entries of a list with a delimiter, in order; members and prefixes together are at most `limit`. */
  readonly prefixes: string[]
  /** The cursor of the next page; null when this is the last. */
  readonly next: string | null
}

/** Returns the narrowest key range that contains a selection. */
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

/** How a page is read. */
export interface PageOptions {
  /** The memory budget of the reader; unlimited when left out. */
  readonly memory?: PageMemory
  /**
   * The page is a part of a stream: it ends before a large value that follows others, and that value gets a page to
   * itself.
   */
  readonly isPart?: boolean
}

/**
 * Returns one page. A filter that rejects many members ends the page after a bounded number of examined members: the
 * page is short or empty then, and its cursor continues. With a delimiter the scan jumps to the end of a prefix as soon
 * as it finds one member with it, so the cost of a level does not grow with the members below it.
 */
export async function listPage(
  engine: Engine,
  collection: string,
  query: ListQuery,
  nowMs: number,
  { memory = unlimitedMemory, isPart = false }: PageOptions = {},
): Promise<Page> {
  const { order, limit } = query
  const range = keyRange(query)
  // A cursor of another query must not extend the range of this one.
  let from = order === 'asc' ? laterKey(query.cursor, range.from) : range.from
  let to = order === 'desc' ? earlierKey(query.cursor, range.to) : range.to
  const level = query.delimiter ? new Level(query, query.delimiter) : null
  const page: Page = { members: [], prefixes: [], next: null }
  let examined = 0
  let examinedInTick = 0
  let bytes = 0
  let maxBytes = smallPageBytes
  for (;;) {
    const isLarge = maxBytes === maxPageBytes
    const left = isPart && isLarge ? 1 : limit - entriesOf(page)
    const asked = scanRange(collection, query, from, to, level?.scanMembers(left) ?? left)
    const scanning = engine.scan({ ...asked, maxBytes: maxBytes - bytes })
    const scanned = scanning instanceof Promise ? await scanning : scanning
    let { next, isCut } = scanned
    for (const member of scanned.members) {
      if (!isSelected(member, query, nowMs)) continue
      const prefix = level?.prefixOf(member.key) ?? null
      if (prefix !== null) {
        page.prefixes.push(prefix)
        next = level!.skip(prefix, from, to)
        isCut = false
        break
      }
      page.members.push(member)
      bytes += member.value.length
    }
    const work = Math.max(scanned.members.length, asked.limit)
    examined += work
    examinedInTick += Math.max(work, scanWork)
    if (next === null) return page
    if (entriesOf(page) >= limit || examined >= maxExaminedMembers) return { ...page, next }
    const isFull = isPart ? entriesOf(page) > 0 : isLarge && bytes > 0
    if ((isCut || (isPart && isLarge)) && isFull) return { ...page, next }
    if (isCut && !isLarge) await memory.reserve()
    maxBytes = isCut || (isLarge && !isPart) ? maxPageBytes : smallPageBytes
    if (order === 'asc') from = next
    else to = next
    if (level === null || examinedInTick >= filteredScan) {
      examinedInTick = 0
      await nextTick()
    }
  }
}

/** See `Scans.visitPage`. Pages that need several scans, or memory of their own, are left to `listPage`. */
export function visitPage(
  engine: Engine,
  collection: string,
  query: ListQuery,
  nowMs: number,
  visitor: MemberVisitor,
): Pick<Page, 'next'> | null {
  const { order, limit, filter, match, keysOnly, cursor, delimiter = null } = query
  if (filter !== null || match !== null || keysOnly || delimiter !== null) return null
  const range = keyRange(query)
  const from = order === 'asc' ? laterKey(cursor, range.from) : range.from
  const to = order === 'desc' ? earlierKey(cursor, range.to) : range.to
  const asked = scanRange(collection, query, from, to, limit)
  const shown = new ShownMembers(nowMs, visitor)
  const visited = engine.visitRange({ ...asked, maxBytes: smallPageBytes }, shown)
  return visited === null || (visited.next !== null && shown.count < limit) ? null : visited
}

function entriesOf({ members, prefixes }: Page): number {
  return members.length + prefixes.length
}

/** The cost of a scan that finds little, as a number of examined members. */
const scanWork = 16

/** Groups the keys of one level of a hierarchy, and chooses how many members each scan reads. */
class Level {
  private readonly query: ListQuery
  private readonly delimiter: string
  private ahead = fewMembers

  constructor(query: ListQuery, delimiter: string) {
    this.query = query
    this.delimiter = delimiter
  }

  /** Returns the prefix entry that a key belongs to; null if the key is an entry of its own. */
  prefixOf(key: string): string | null {
    const at = key.indexOf(this.delimiter, this.query.prefix.length)
    return at === -1 ? null : key.slice(0, at + this.delimiter.length)
  }

  /** Returns where a scan of a range continues after all keys with a prefix; null if nothing is left. */
  skip(prefix: string, from: string | null, to: string | null): string | null {
    this.ahead = fewMembers
    if (this.query.order === 'desc') return from !== null && compareKeys(prefix, from) <= 0 ? null : prefix
    const end = prefixEnd(prefix)
    return end === null || (to !== null && compareKeys(end, to) >= 0) ? null : end
  }

  /**
   * Returns how many members to scan next: four times as many each time until a prefix is found, because the members
   * scanned beyond that prefix were read in vain.
   */
  scanMembers(left: number): number {
    const members = Math.min(left, this.ahead)
    this.ahead *= 4
    return members
  }
}

const fewMembers = 2

/**
 * Yields all members that a query selects, in parts; its limit and cursor are ignored. Where a filter rejects many
 * members, parts may be empty, so that the caller sees progress.
 */
export async function* listAll(
  engine: Engine,
  collection: string,
  query: ListQuery,
  now: () => number,
  memory: PageMemory = unlimitedMemory,
): AsyncGenerator<Member[]> {
  let cursor: string | null = null
  do {
    const part = { ...query, limit: streamedMembers, cursor }
    const page = await listPage(engine, collection, part, now(), { memory, isPart: true })
    yield page.members
    cursor = page.next
    await nextTick()
  } while (cursor !== null)
}

/** Members in one part of a stream, few enough that other requests do not wait for them. */
const streamedMembers = 500
/** Members per scan with a filter, which examines more members than it returns. */
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

/** Returns whether a member in the range of a selection is selected. */
export function isSelected(member: Member, { filter, match }: Selection, nowMs: number): boolean {
  if (isExpired(member, nowMs)) return false
  if (filter !== null && !filter.matches(member.key)) return false
  return match === null || topLevelValues(member).some((value) => match.matches(value))
}

/**
 * Returns the values of an object, the elements of an array, or the value itself: strings as text, others as JSON.
 * Binary values have none.
 */
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
