import { rawElements, rawMembers } from '../json/scan.ts'
import type { Engine, ScanRange } from './engine.ts'
import { compareKeys, earlierKey, laterKey, prefixEnd } from './keys.ts'
import { maxExaminedMembers, maxPageBytes, smallPageBytes } from './limits.ts'
import { isExpired, type Member } from './member.ts'
import { nextTick } from './next-tick.ts'
import { type PageMemory, unlimitedMemory } from './page-memory.ts'
import type { Pattern } from './pattern.ts'

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
  /**
   * Lists one level of a hierarchy: keys that have this after the prefix are one entry together, named by what they have in
   * common up to it. Missing or null, every key is an entry.
   */
  readonly delimiter?: string | null
}

export interface Page {
  readonly members: Member[]
  /** In order, with a delimiter; members and prefixes together are at most `limit`. */
  readonly prefixes: string[]
  /** The cursor of the next page; null when this is the last. */
  readonly next: string | null
}

/** The key range that contains a selection, as narrow as possible. */
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
  /** What a page takes of the memory of its reader; unlimited when left out. */
  readonly memory?: PageMemory
  /** It is a part of a stream: it ends before a large value that follows others, and has that one for itself. */
  readonly isPart?: boolean
}

/**
 * One page. A filter that leaves out much ends it early, after looking at a bounded number of members: the page is
 * short then, or empty, and its cursor goes on. With a delimiter the scan jumps to the end of a prefix as soon as one member of
 * it is found: what a level costs does not grow with what lies below it.
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
  // A cursor of another query must not lead out of this one's range.
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

function entriesOf({ members, prefixes }: Page): number {
  return members.length + prefixes.length
}

/** A scan that finds little costs about as much as examining this many members. */
const scanWork = 16

/** One level of keys, and how far scans should reach while it is listed. */
class Level {
  private readonly query: ListQuery
  private readonly delimiter: string
  private ahead = fewMembers

  constructor(query: ListQuery, delimiter: string) {
    this.query = query
    this.delimiter = delimiter
  }

  /** What a key has in common with others of its entry; null for one that is an entry of its own. */
  prefixOf(key: string): string | null {
    const at = key.indexOf(this.delimiter, this.query.prefix.length)
    return at === -1 ? null : key.slice(0, at + this.delimiter.length)
  }

  /** Where a scan of a range goes on behind all keys with a prefix; null where nothing more is. */
  skip(prefix: string, from: string | null, to: string | null): string | null {
    this.ahead = fewMembers
    if (this.query.order === 'desc') return from !== null && compareKeys(prefix, from) <= 0 ? null : prefix
    const end = prefixEnd(prefix)
    return end === null || (to !== null && compareKeys(end, to) >= 0) ? null : end
  }

  /** More and more while no prefix is met: what lies behind one that is met was read in vain. */
  scanMembers(left: number): number {
    const members = Math.min(left, this.ahead)
    this.ahead *= 4
    return members
  }
}

const fewMembers = 2

/**
 * Everything that a query selects, a part at a time; its limit and cursor are ignored. Where a filter leaves out
 * much, parts may be empty, so that the caller sees progress.
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

/** Members in one part of a stream: few enough that others do not wait for them. */
const streamedMembers = 500
/** With a filter more are examined than returned. */
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
