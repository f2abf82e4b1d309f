import type { Order } from '../../jsonpath/order.ts'
import type { FieldRange } from '../../jsonpath/ranges.ts'
import type { Engine, ScanPage, ScanRange } from '../engine.ts'
import type { Index } from '../indexes/definition.ts'
import { encodeValue, endOfEncoding } from '../indexes/encode-value.ts'
import { type ReadEntry, readEntry } from '../indexes/entries.ts'
import { earlierKey, keyAfter, keyOfSortKey, laterKey, prefixEnd, sortKey } from '../keys.ts'
import { smallPageBytes } from '../limits.ts'
import type { MemberVisitor } from '../member-visitor.ts'
import { nextTick } from '../next-tick.ts'
import type { PageMemory } from '../page-memory.ts'
import { isInRange, type KeyRange } from '../ranges.ts'
import { ShownMembers } from '../shown-members.ts'
import type { UsableIndex } from './current-indexes.ts'
import { type FindCursor, fieldsCursor } from './cursor.ts'
import type { FindOrder } from './expressions.ts'
import type { ScannedPart } from './key-scan.ts'
import { KeyedReads } from './keyed-reads.ts'
import { NamedMembers } from './named-members.ts'
import { orderText } from './ordered.ts'
import { type IndexRange, isSameField } from './plan.ts'

/** Entries per scan of an index: each names a member that is read, at the cost of a read by key. */
const entriesPerScan = 500

export interface IndexScanOptions {
  readonly engine: Engine
  readonly collection: string
  readonly range: IndexRange<UsableIndex>
  /** The ranges that every match is within. */
  readonly ranges: readonly FieldRange[]
  /** Every value within all ranges matches. */
  readonly isRanges: boolean
  /** The order of the query that the index gives, as cursors have it. */
  readonly order: FindOrder
  /** Members with other keys are passed over. */
  readonly keys: KeyRange
  readonly cursor: FindCursor | null
  readonly wanted: number
  /** The most entries to examine. */
  readonly most: number
  readonly memory: PageMemory
  /** See `PageOptions.isPart`. */
  readonly isPart: boolean
}

/** Reads the members that a part of an index names, in the order of the entries. */
export class IndexScan {
  examined = 0
  private readonly options: IndexScanOptions
  private readonly reads: KeyedReads
  private readonly prefix: string
  /** What is left of the entries. */
  private left: KeyRange | null
  /** Entries whose members are not read yet. */
  private entries: readonly ReadEntry[] = []
  private part: readonly ReadEntry[] = []
  /** What the entries say of the values is all that the filter asks. */
  private readonly isWhole: boolean

  constructor(options: IndexScanOptions) {
    this.options = options
    this.reads = new KeyedReads(options)
    const { index, equal } = options.range
    this.prefix = equal.map(({ equals }) => encodeValue(equals, index.maxValueBytes).text).join('')
    this.left = this.after(entryRange(this.prefix, options.range), options.cursor)
    this.isWhole = saysAll(options)
  }

  async next(heldBytes: number): Promise<ScannedPart | null> {
    let isFresh = false
    while (this.entries.length === 0) {
      if (this.left === null) return null
      if (this.examined > 0) await nextTick()
      const scanning = this.options.engine.scan(this.entriesOf(this.left))
      isFresh = !(scanning instanceof Promise)
      this.take(this.left, scanning instanceof Promise ? await scanning : scanning)
    }
    // Where the engine returns at once, nothing is awaited between the entries and their members: they agree.
    const reading = this.reads.read(
      this.entries.map(({ memberKey }) => memberKey),
      heldBytes,
    )
    const { members, isFull, isAtOnce } = await reading
    if (isFull) return { members, isFull, areMatches: false }
    this.part = this.entries.slice(0, members.length)
    this.entries = this.entries.slice(members.length)
    const areMatches = this.isWhole && isFresh && isAtOnce
    return { members, isFull, areMatches }
  }

  /**
   * Visits the members of a whole page, in place of `next`, and returns where the next one begins. Returns null, after which this
   * scan cannot be used, where the entries do not say all that is asked, or the page is not made of what they name.
   */
  visit(nowMs: number, visitor: MemberVisitor): { readonly next: FindCursor | null } | null {
    const { left } = this
    if (left === null) return { next: null }
    if (!this.isWhole) return null
    const { engine, collection, keys, range: by, wanted } = this.options
    const named = new NamedMembers(collection, by.index.on.length, keys, wanted)
    const scanned = engine.visitRange(this.entriesOf(left), named)
    if (scanned === null || named.isVoid) return null
    this.examined += named.examined
    this.leave(left, scanned.next)
    const { refs, last } = named
    if (refs.length < wanted && this.left !== null) return null
    const shown = new ShownMembers(nowMs, visitor)
    const visited = engine.visitMany(refs, smallPageBytes, shown)
    if (visited !== refs.length || shown.count < visited || shown.bytes > smallPageBytes) return null
    this.part = last === null ? [] : [last]
    return { next: last === null ? null : this.cursorAfter(0) }
  }

  /** Whether nothing is left after the last part. */
  get isAtEnd(): boolean {
    return this.entries.length === 0 && this.left === null
  }

  /** Returns the cursor after the member at an index of the last part; null when nothing is left. */
  cursorAfter(at: number): FindCursor | null {
    const { part } = this
    if (at === part.length - 1 && this.isAtEnd) return null
    const { key: entryKey, memberKey } = part[at]!
    const { on } = this.options.range.index
    const encodings: string[] = []
    let end = 0
    for (let i = 0; i < on.length; i++) {
      const start = end
      end = endOfEncoding(entryKey, start)
      encodings.push(sortKey(entryKey.slice(start, end)))
    }
    const texts = this.fieldsOfOrder().map((field, i) => encodings[field] ?? this.equalText(i))
    const position = { texts, key: memberKey, sortKey: sortKey(memberKey) }
    return fieldsCursor(orderText(this.options.order), position, entryKey.slice(end))
  }

  /** Returns the encoded value that a field of the order has in every match: the index does not have that field. */
  private equalText(at: number): string {
    const { order, ranges, range } = this.options
    const { field } = (order as Order)[at]!
    const { equals } = ranges.find((one) => isSameField(one.field, field))!
    return sortKey(encodeValue(equals, range.index.maxValueBytes).text)
  }

  /** Returns which field of the index each field of the order is; -1 for one that has the same value in every match. */
  private fieldsOfOrder(): readonly number[] {
    const { order, range } = this.options
    if (typeof order === 'string') return []
    return order.map(({ field }) => range.index.on.findIndex((one) => isSameField(one, field)))
  }

  /** Returns the entries to read next. */
  private entriesOf(left: KeyRange): ScanRange {
    const { range: by, wanted } = this.options
    const most = Math.min(entriesPerScan, Math.max(1, this.options.most - this.examined))
    const limit = this.examined === 0 ? Math.min(wanted, most) : most
    const order = by.isReversed ? 'desc' : 'asc'
    const { entries, guard } = by.index
    const asked = { collection: entries, ...left, order, limit, keysOnly: false } as const
    return guard === undefined ? asked : { ...asked, guard }
  }

  private take(range: KeyRange, { members, next }: ScanPage): void {
    const { range: by, keys } = this.options
    this.examined += members.length
    const fields = by.index.on.length
    const entries = members.map(({ key, value }) => readEntry(key, value, fields))
    this.entries = entries.filter(({ memberKey }) => isInRange(keys, memberKey))
    this.leave(range, next)
  }

  /** Notes what a scan has left of the entries. */
  private leave(range: KeyRange, next: string | null): void {
    if (next === null) this.left = null
    else this.left = this.options.range.isReversed ? { ...range, to: next } : { ...range, from: next }
  }

  private after(range: KeyRange, cursor: FindCursor | null): KeyRange {
    if (cursor === null || cursor.by === 'key') return range
    const { position, rest } = cursor
    const fields = this.fieldsOfOrder()
    let entry = this.prefix
    for (let i = this.options.range.equal.length; i < this.options.range.index.on.length; i++)
      entry += keyOfSortKey(position.texts[fields.indexOf(i)]!)
    entry += rest ?? `k${position.key}`
    return this.options.range.isReversed
      ? { from: range.from, to: earlierKey(range.to, entry) }
      : { from: laterKey(range.from, keyAfter(entry)), to: range.to }
  }
}

/** Returns the range of the entries of an index. A value that is too long is inclusive: others have the same encoding. */
function entryRange(prefix: string, { index, range }: IndexRange<Index>): KeyRange {
  const whole = { from: prefix === '' ? null : prefix, to: prefix === '' ? null : prefixEnd(prefix) }
  if (range === null) return whole
  const { low, high, type } = range
  const [first, last] = type === 'string' ? stringKinds : numberKinds
  const lowest = low === undefined ? null : encodeValue(low.json, index.maxValueBytes)
  const highest = high === undefined ? null : encodeValue(high.json, index.maxValueBytes)
  const isAfterLow = lowest !== null && !low!.isInclusive && !lowest.isTruncated
  const isBeforeHigh = highest !== null && !high!.isInclusive && !highest.isTruncated
  const from = prefix + (lowest?.text ?? first)
  const to = prefix + (highest?.text ?? last)
  return { from: isAfterLow ? prefixEnd(from) : from, to: isBeforeHigh ? to : prefixEnd(to) }
}

/** The first characters of the encodings of the smallest and of the largest values of a type: others do not compare with it. */
const numberKinds = ['e', 'g'] as const
const stringKinds = ['h', 'h'] as const

/** Whether members match if their entries are in the range: a value that is too long is in it or not as its entry is. */
function saysAll({ isRanges, ranges, range: { index, equal, range } }: IndexScanOptions): boolean {
  if (!isRanges || ranges.length !== equal.length + (range === null ? 0 : 1)) return false
  const bounds = [...equal.map(({ equals }) => equals), range?.low?.json, range?.high?.json]
  return bounds.every((json) => json === undefined || !encodeValue(json, index.maxValueBytes).isTruncated)
}
