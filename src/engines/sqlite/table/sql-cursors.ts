import { compareKeys } from '../../../core/keys.ts'
import type { Change, Member, RemovalCause, Tombstone, Value } from '../../../core/member.ts'
import { damagedMember } from './damage.ts'
import { type MemberRow, memberOfRow, verifyMemberRow } from './member-row.ts'
import { crcOfText, feedChecksum } from './row-checksum.ts'
import type { FeedRowCursor, MemberRowCursor, TableRange, TableReader } from './table-reader.ts'

/** Cursors over rows of the tables. Each row is verified before its content is returned. */

export interface FeedRow {
  readonly feedRevision: number
  readonly collection: string
  readonly feedKey: string
  readonly cause: RemovalCause | null
  readonly feedChecksum: number
}

/** A row of another table joined with the member that it names; `revision` is null where that is missing. */
export type Joined<Row> = Row & (MemberRow | { readonly revision: null })

export type ReadValue = TableReader['value']

/** The size of the value in bytes, as the pages have it: with `--sqlite-pages checked` both must end a page alike. */
function valueBytesOf({ value, largeBytes }: MemberRow): number {
  return largeBytes ?? Buffer.byteLength(value)
}

export function valueOfRow(readValue: ReadValue, collection: string, row: MemberRow): Value {
  const { key, value, revision, largeBytes } = row
  return largeBytes === null
    ? value
    : readValue(collection, key, revision, largeBytes, typeof value === 'string')
}

export type ReadTombstone = (collection: string, key: string) => Tombstone | null

export function existingTombstone(read: ReadTombstone, collection: string, key: string): Tombstone {
  const tombstone = read(collection, key)
  if (tombstone === null)
    throw damagedMember(collection, key, 'the feed names its tombstone, which is missing')
  return tombstone
}

export class SqlMemberCursor implements MemberRowCursor {
  readonly #collection: string
  readonly #direction: 1 | -1
  readonly #rows: IterableIterator<MemberRow>
  readonly #readValue: ReadValue
  #row: MemberRow | null = null

  constructor(range: TableRange, rows: IterableIterator<MemberRow>, readValue: ReadValue) {
    this.#collection = range.collection
    this.#direction = range.order === 'asc' ? 1 : -1
    this.#rows = rows
    this.#readValue = readValue
  }

  next(): boolean {
    const { done, value: row } = this.#rows.next()
    if (done) return false
    verifyMemberRow(this.#collection, row)
    if (this.#row !== null && compareKeys(this.#row.key, row.key) * this.#direction >= 0)
      throw damagedMember(this.#collection, row.key, 'its row is out of order')
    this.#row = row
    return true
  }

  get key(): string {
    return this.#row!.key
  }

  get valueBytes(): number {
    return valueBytesOf(this.#row!)
  }

  member(keysOnly: boolean): Member {
    const row = this.#row!
    return memberOfRow(row, keysOnly ? '' : valueOfRow(this.#readValue, this.#collection, row))
  }

  close(): void {
    this.#rows.return?.()
  }
}

export class SqlFeedCursor implements FeedRowCursor {
  readonly #rows: IterableIterator<Joined<FeedRow>>
  readonly #readValue: ReadValue
  readonly #readTombstone: ReadTombstone
  #row: Joined<FeedRow> | null = null

  constructor(rows: IterableIterator<Joined<FeedRow>>, readValue: ReadValue, readTombstone: ReadTombstone) {
    this.#rows = rows
    this.#readValue = readValue
    this.#readTombstone = readTombstone
  }

  next(): boolean {
    const { done, value: row } = this.#rows.next()
    if (done) return false
    const { feedRevision, collection, feedKey, cause } = row
    const texts = crcOfText(feedKey, crcOfText(collection))
    if (feedChecksum(texts, Buffer.byteLength(String(collection)), feedRevision, cause) !== row.feedChecksum)
      throw damagedMember(collection, feedKey, 'the checksum of its row in the feed does not match')
    this.#row = row
    return true
  }

  get revision(): number {
    return this.#row!.feedRevision
  }

  get collection(): string {
    return this.#row!.collection
  }

  get key(): string {
    return this.#row!.feedKey
  }

  get valueBytes(): number {
    const row = this.#row!
    return row.revision === null ? 0 : valueBytesOf(row)
  }

  change(): Change {
    const row = this.#row!
    const { feedRevision, collection, feedKey, cause } = row
    if (cause !== null) {
      const tombstone = existingTombstone(this.#readTombstone, collection, feedKey)
      if (tombstone.revision !== feedRevision || tombstone.cause !== cause)
        throw damagedMember(collection, feedKey, 'its tombstone is not the one that the feed names')
      return { type: cause, collection, tombstone }
    }
    if (row.revision === null)
      throw damagedMember(collection, feedKey, 'the feed names it, but it is missing')
    verifyMemberRow(collection, row)
    if (row.revision !== feedRevision)
      throw damagedMember(collection, feedKey, 'its revision is not the one that the feed names')
    return { type: 'put', collection, member: memberOfRow(row, valueOfRow(this.#readValue, collection, row)) }
  }

  close(): void {
    this.#rows.return?.()
  }
}
