import { compareKeys, earlierKey, laterKey, prefixEnd } from './keys.ts'
import { smallPageBytes } from './limits.ts'
import type { ListQuery, Page } from './list.ts'

/** Lists several ranges of keys as one list. */

/** A range of keys. */
export interface KeyRange {
  /** The first key, inclusive; null for the start. */
  readonly from: string | null
  /** The first key past the end; null for no end. */
  readonly to: string | null
}

export function isEmptyRange({ from, to }: KeyRange): boolean {
  return from !== null && to !== null && compareKeys(from, to) >= 0
}

export function isInRange({ from, to }: KeyRange, key: string): boolean {
  return (from === null || compareKeys(key, from) >= 0) && (to === null || compareKeys(key, to) < 0)
}

/** Returns the parts of a range that are under one of these prefixes, of which none is within another, in order. */
export function rangesWithin(prefixes: readonly string[], { from, to }: KeyRange): readonly KeyRange[] {
  return prefixes
    .map((prefix) => ({ from: laterKey(from, prefix), to: earlierKey(to, prefixEnd(prefix)) }))
    .filter((range) => !isEmptyRange(range))
}

/**
 * Returns a page of what a query selects within ranges that are in order and do not overlap. `read` returns a page of
 * one of them. Cursors are keys, as in any list, so a page may end in one range and its next begin in another.
 */
export async function pageOfRanges(
  ranges: readonly KeyRange[],
  query: ListQuery,
  read: (part: ListQuery) => Promise<Page>,
): Promise<Page> {
  const isAscending = query.order === 'asc'
  const inOrder = isAscending ? ranges : ranges.toReversed()
  const members: Page['members'] = []
  const prefixes: Page['prefixes'] = []
  let cursor = query.cursor
  let bytes = 0
  for (const range of inOrder) {
    if (isPassed(range, cursor, isAscending)) continue
    const left = query.limit - members.length - prefixes.length
    if (left <= 0 || bytes > smallPageBytes)
      return { members, prefixes, next: startOf(range, cursor, isAscending) }
    const page = await read({ ...query, ...range, cursor, limit: left })
    members.push(...page.members)
    prefixes.push(...page.prefixes)
    for (const { value } of page.members) bytes += value.length
    if (page.next !== null) return { members, prefixes, next: page.next }
    cursor = afterPrefix(page.prefixes.at(-1), cursor, isAscending)
  }
  return { members, prefixes, next: null }
}

/** Whether a list with this cursor has nothing left in a range. */
function isPassed({ from, to }: KeyRange, cursor: string | null, isAscending: boolean): boolean {
  if (cursor === null) return false
  return isEmptyRange(isAscending ? { from: cursor, to } : { from, to: cursor })
}

function startOf({ from, to }: KeyRange, cursor: string | null, isAscending: boolean): string | null {
  return isAscending ? laterKey(from, cursor) : earlierKey(to, cursor)
}

/** Returns a cursor after a grouped entry, which the next range must not show again. */
function afterPrefix(prefix: string | undefined, cursor: string | null, isAscending: boolean): string | null {
  if (prefix === undefined) return cursor
  return isAscending ? laterKey(prefixEnd(prefix), cursor) : earlierKey(prefix, cursor)
}
