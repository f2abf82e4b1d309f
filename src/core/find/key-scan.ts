import type { Engine } from '../engine.ts'
import { earlierKey, laterKey } from '../keys.ts'
import { maxExaminedMembers, maxPageBytes, smallPageBytes } from '../limits.ts'
import type { Member } from '../member.ts'
import { nextTick } from '../next-tick.ts'
import type { PageMemory } from '../page-memory.ts'
import { isEmptyRange, type KeyRange } from '../ranges.ts'
import { type FindCursor, keyCursor } from './cursor.ts'

/** Members per scan: few enough that other requests do not wait for them. */
const membersPerScan = 1000

export interface KeyScanOptions {
  readonly engine: Engine
  readonly collection: string
  /** In order, and not overlapping. */
  readonly ranges: readonly KeyRange[]
  readonly order: 'asc' | 'desc'
  /** The key at which to begin, exclusive in descending order; null for the start. */
  readonly cursor: string | null
  readonly keysOnly: boolean
  /** Members that the caller wants, for the first scan. */
  readonly wanted: number
  readonly memory: PageMemory
  /** See `PageOptions.isPart`. */
  readonly isPart: boolean
}

/** Members that were read together. */
export interface ScannedPart {
  /** Null for one that is gone. */
  readonly members: readonly (Member | null)[]
  /** The next value does not fit beside those that the caller holds: nothing was read. */
  readonly isFull: boolean
  /** All of them are known to match the filter on values. */
  readonly areMatches: boolean
}

const full: ScannedPart = { members: [], isFull: true, areMatches: false }

/** Reads the members of ranges of keys in order, by parts. */
export class KeyScan {
  examined = 0
  private readonly options: KeyScanOptions
  private readonly isAscending: boolean
  /** What is left, the next one first. */
  private ranges: readonly KeyRange[]
  private part: ScannedPart['members'] = []
  private isFirst = true
  private hasMemory = false

  constructor(options: KeyScanOptions) {
    this.options = options
    this.isAscending = options.order === 'asc'
    const inOrder = this.isAscending ? options.ranges : options.ranges.toReversed()
    this.ranges = inOrder
      .map((range) => this.after(range, options.cursor))
      .filter((one) => !isEmptyRange(one))
  }

  /** Returns the next members; null at the end. `heldBytes` are those of the values that the caller holds. */
  async next(heldBytes: number): Promise<ScannedPart | null> {
    for (;;) {
      const range = this.ranges[0]
      if (range === undefined) return null
      if (!this.isFirst) await nextTick()
      this.isFirst = false
      const part = await this.read(range, heldBytes)
      if (part === null || part.members.length > 0 || part.isFull) return part
    }
  }

  /** Whether nothing is left after the last part. */
  get isAtEnd(): boolean {
    return this.ranges.length === 0
  }

  /** Returns where a scan goes on after the member at an index of the last part; null when nothing is left. */
  cursorAfter(index: number): FindCursor | null {
    const { part, isAscending } = this
    if (index < part.length - 1) return keyCursor(isAscending ? part[index + 1]!.key : part[index]!.key)
    const [range] = this.ranges
    return range === undefined ? null : keyCursor(isAscending ? range.from! : range.to!)
  }

  private async read(range: KeyRange, heldBytes: number): Promise<ScannedPart | null> {
    const { engine, collection, order, keysOnly, memory, isPart } = this.options
    const scan = { collection, ...range, order, keysOnly }
    const most = Math.min(membersPerScan, Math.max(1, maxExaminedMembers - this.examined))
    const limit = this.examined === 0 ? Math.min(this.options.wanted, most) : most
    let scanned = await engine.scan({ ...scan, limit, maxBytes: smallPageBytes })
    if (scanned.isCut && scanned.members.length === 0) {
      if (isPart && heldBytes > 0) return full
      if (!this.hasMemory) await memory.reserve()
      this.hasMemory = true
      scanned = await engine.scan({ ...scan, limit: 1, maxBytes: maxPageBytes - heldBytes })
      if (scanned.isCut && scanned.members.length === 0) return full
    }
    const { members, next } = scanned
    this.part = members
    this.examined += members.length
    this.ranges = next === null ? this.ranges.slice(1) : [this.after(range, next), ...this.ranges.slice(1)]
    return { members, isFull: false, areMatches: false }
  }

  private after({ from, to }: KeyRange, cursor: string | null): KeyRange {
    return this.isAscending ? { from: laterKey(cursor, from), to } : { from, to: earlierKey(cursor, to) }
  }
}
