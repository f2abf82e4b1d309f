import type { MemberRef, ReadRef, ScanPage, ScanRange } from '../../core/engine.ts'
import { compareKeys, keyAfter } from '../../core/keys.ts'
import { maxPageBytes } from '../../core/limits.ts'
import {
  isVersion,
  type Member,
  type MemberHead,
  type MemberVersion,
  type Tombstone,
} from '../../core/member.ts'
import type { LineMap } from './layout.ts'
import {
  type FoundRecord,
  isWhole,
  type LineReads,
  largeValues,
  maxLinePage,
  memberOfFound,
  valueBytesOf,
} from './line-reads.ts'
import { bareMemberOf, memberHeadOf, memberOf, type StoredRecord, tombstoneOf } from './record.ts'

/** Resolves when everything up to a revision of a line was reported; null if it was. */
export type WhenReported = (line: number, revision: number) => Promise<void> | null

/** A page whose large values change while they are read is read again this often, at most. */
const maxAttempts = 8

/** Reads of members, which return nothing that was not reported. */
export class RedisMembers {
  private readonly reads: LineReads
  private readonly lines: LineMap
  private readonly whenReported: WhenReported

  constructor(reads: LineReads, lines: LineMap, whenReported: WhenReported) {
    this.reads = reads
    this.lines = lines
    this.whenReported = whenReported
  }

  async read(ref: ReadRef): Promise<Member | null> {
    const line = this.lines.lineOf(ref.near ?? ref)
    const record = await this.record(line, ref)
    if (record === null || record.isTombstone) return null
    if (record.value !== null) return memberOf(ref.key, record)
    const [found] = await this.reads.values(line, [ref])
    const { record: now, large } = found!
    await this.reported(line, now)
    return now === null || now.isTombstone ? null : memberOf(ref.key, now, large)
  }

  async readHead(ref: MemberRef): Promise<MemberHead | null> {
    const record = await this.record(this.lines.lineOf(ref), ref)
    return record === null || record.isTombstone ? null : memberHeadOf(ref.key, record)
  }

  async tombstone(ref: MemberRef): Promise<Tombstone | null> {
    const record = await this.record(this.lines.lineOf(ref), ref)
    return record?.isTombstone ? tombstoneOf(ref.key, record) : null
  }

  async readPart(
    ref: MemberRef,
    version: MemberVersion,
    from: number,
    to: number,
  ): Promise<Uint8Array | null> {
    const line = this.lines.lineOf(ref)
    const found = await this.reads.part(line, ref, from, to)
    await this.reported(line, found?.record ?? null)
    return found !== null && isVersion({ ...found.record, ...ref }, version) ? found.part : null
  }

  async readMany(refs: readonly ReadRef[], maxBytes?: number): Promise<(Member | null)[]> {
    for (let attempt = 1; ; attempt++) {
      const records = withinBytes(await this.recordsOf(refs), maxBytes)
      const found = records.filter((one) => one !== null)
      const values = await largeValues(this.reads, found)
      if (found.every((one) => isWhole(one, values))) {
        await this.allReported(found)
        return records.map((one) => (one === null ? null : memberOfFound(one, values)))
      }
      if (attempt === maxAttempts)
        return Promise.all(refs.slice(0, records.length).map((ref) => this.read(ref)))
    }
  }

  async scan(range: ScanRange): Promise<ScanPage> {
    for (let attempt = 1; ; attempt++) {
      const page = await this.scanOnce(range)
      const values: Awaited<ReturnType<typeof largeValues>> = range.keysOnly
        ? new Map()
        : await largeValues(this.reads, page.found)
      const changed = range.keysOnly ? -1 : page.found.findIndex((one) => !isWhole(one, values))
      if (changed >= 0 && attempt < maxAttempts) continue
      await this.allReported(page.found)
      const { next, isCut } =
        changed < 0 ? page : endBefore(page.found[changed]!, page.found[changed - 1], range)
      const found = changed < 0 ? page.found : page.found.slice(0, changed)
      const members = found.map((one) => (range.keysOnly ? bareMember(one) : memberOfFound(one, values)!))
      return { members, next, isCut }
    }
  }

  private async scanOnce(range: ScanRange) {
    const { collection, from, to, order, keysOnly, maxBytes = maxPageBytes, guard } = range
    const limit = Math.min(range.limit, maxLinePage)
    // Entries are on the lines of what they index.
    const lines = this.lines.linesOf(guard?.of ?? collection)
    const share = shareOf(limit + 1, lines.length)
    const isDescending = order === 'desc'
    const part = { collection, from, to, isDescending, limit: share, guard }
    const pages = await Promise.all(lines.map((line) => this.reads.scan(line, part)))
    const sign = isDescending ? -1 : 1
    const byKey = (a: FoundRecord, b: FoundRecord) => sign * compareKeys(a.key, b.key)
    const ends = pages.flatMap((page) => (page.length < share ? [] : [page.at(-1)!])).sort(byKey)
    const all = lines.length === 1 ? pages[0]! : pages.flat().sort(byKey)
    // What follows on a line of which there is more may come before what other lines have.
    const known = ends[0] === undefined ? all : all.filter((one) => byKey(one, ends[0]!) <= 0)
    let bytes = 0
    let count = 0
    let isCut = false
    for (const one of known) {
      if (count === limit) break
      bytes += keysOnly ? 0 : valueBytesOf(one)
      isCut = bytes > maxBytes
      if (isCut) break
      count++
    }
    const found = known.slice(0, count)
    if (count === all.length && ends.length === 0) return { found, next: null, isCut: false }
    const next = endBefore(known[count], found.at(-1), range)
    return { found, next: next.next, isCut }
  }

  private async recordsOf(refs: readonly ReadRef[]): Promise<(FoundRecord | null)[]> {
    const result: (FoundRecord | null)[] = refs.map(() => null)
    const byLine = Map.groupBy(refs.keys(), (i) => this.lines.lineOf(refs[i]!.near ?? refs[i]!))
    await Promise.all(
      [...byLine].map(async ([line, indexes]) => {
        const records = await this.reads.records(
          line,
          indexes.map((i) => refs[i]!),
        )
        for (const [n, i] of indexes.entries()) {
          const record = records[n] ?? null
          await this.reported(line, record)
          if (record !== null && !record.isTombstone) result[i] = { ...refs[i]!, line, record }
        }
      }),
    )
    return result
  }

  private async record(line: number, ref: MemberRef): Promise<StoredRecord | null> {
    const record = await this.reads.record(line, ref)
    const wait = record === null ? null : this.whenReported(line, record.revision)
    if (wait !== null) await wait
    return record
  }

  private async reported(line: number, record: StoredRecord | null): Promise<void> {
    const wait = record === null ? null : this.whenReported(line, record.revision)
    if (wait !== null) await wait
  }

  async allReported(found: readonly FoundRecord[]): Promise<void> {
    for (const { line, record } of found) await this.reported(line, record)
  }
}

/** How many members, or changes, each of several lines is asked for where a page has `limit`. */
export function shareOf(limit: number, lines: number): number {
  if (lines === 1) return limit
  const even = limit / lines
  return Math.min(limit, Math.ceil(even + 3 + 1.5 * Math.sqrt(even)))
}

function bareMember({ key, record }: FoundRecord): Member {
  if (record.isTombstone) throw new Error('a tombstone is among the members')
  return bareMemberOf(key, record)
}

/** Returns the bound of the page after one whose last member is `last`; `next` is the first of the next page, if it was read. */
function endBefore(next: FoundRecord | undefined, last: FoundRecord | undefined, { order }: ScanRange) {
  if (order === 'asc' && next !== undefined) return { next: next.key, isCut: true }
  if (last !== undefined) return { next: order === 'asc' ? keyAfter(last.key) : last.key, isCut: true }
  if (next === undefined) throw new Error('a page has neither members nor an end')
  return { next: keyAfter(next.key), isCut: true }
}

/** Ends after the member with which the values exceed `maxBytes`. */
function withinBytes(
  found: (FoundRecord | null)[],
  maxBytes = Number.POSITIVE_INFINITY,
): (FoundRecord | null)[] {
  let bytes = 0
  const end = found.findIndex((one) => {
    bytes += one === null ? 0 : valueBytesOf(one)
    return bytes > maxBytes
  })
  return end < 0 ? found : found.slice(0, end + 1)
}
