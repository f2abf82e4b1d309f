import type { Engine } from '../engine.ts'
import { compareKeys, keyAfter, prefixEnd } from '../keys.ts'
import type { Index } from './definition.ts'
import { entryPrefix, type ReadEntry, readEntry } from './entries.ts'

/** A bound of what an index orders: values of its first fields, as JSON text; undefined is a field without a value. */
export interface IndexBound {
  readonly values: readonly (string | undefined)[]
  readonly isInclusive: boolean
}

export interface EntryQuery {
  /** Where the values begin; left out for the beginning. */
  readonly low?: IndexBound
  readonly high?: IndexBound
  /** The largest values first. */
  readonly reverse: boolean
  /** `next` of the page before; null for the first. */
  readonly after: string | null
  readonly limit: number
}

export interface EntryPage {
  /**
   * In the order of the index, at most `limit`. Values that are too long for an entry are truncated: bounds on them select more
   * than they say, and entries with the same `run` are in no order among themselves.
   */
  readonly entries: readonly ReadEntry[]
  /** Null after the last entry. */
  readonly next: string | null
}

/** Returns a page of the entries of an index. Their members may have expired, or changed since. */
export async function indexEntries(
  engine: Pick<Engine, 'scan'>,
  index: Index,
  { low, high, reverse, after, limit }: EntryQuery,
): Promise<EntryPage> {
  let from = low === undefined ? null : startOf(index, low)
  let to = high === undefined ? null : endOf(index, high)
  if (after !== null && !reverse && (from === null || compareKeys(after, from) > 0)) from = after
  if (after !== null && reverse && (to === null || compareKeys(after, to) < 0)) to = after
  if (from !== null && to !== null && compareKeys(from, to) >= 0) return { entries: [], next: null }
  const order = reverse ? 'desc' : 'asc'
  const range = { collection: index.entries, from, to, order, limit, keysOnly: false } as const
  const { members, next } = await engine.scan(range)
  const fields = index.on.length
  return { entries: members.map(({ key, value }) => readEntry(key, value, fields)), next }
}

/** Returns where a page goes on after one of its entries. */
export function afterEntry({ key }: Pick<ReadEntry, 'key'>, reverse: boolean): string {
  return reverse ? key : keyAfter(key)
}

function startOf(index: Index, { values, isInclusive }: IndexBound): string | null {
  const { text, isTruncated } = entryPrefix(index, values)
  return isInclusive || isTruncated ? text : prefixEnd(text)
}

function endOf(index: Index, { values, isInclusive }: IndexBound): string | null {
  const { text, isTruncated } = entryPrefix(index, values)
  return isInclusive || isTruncated ? prefixEnd(text) : text
}
