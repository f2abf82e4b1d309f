import { jsonContentType, type Member, type Value } from '../../../core/member.ts'
import type { MemberVisitor, StoredJson } from '../../../core/member-visitor.ts'
import { damagedMember } from '../table/damage.ts'
import { memberChecksum, TextCrc } from '../table/row-checksum.ts'
import type { TableReader } from '../table/table-reader.ts'
import type { ExistingVersion } from '../wal/record.ts'
import { columnBytes, isText, maxRowBytes, numberAt } from './page-format.ts'
import type { PageText } from './page-text.ts'

/** Returned in place of a size: the member was not visited. */
export const notVisited = -1

/**
 * Decodes rows of `members` (table/schema.ts). The fields hold the columns of one row at a time, and texts are decoded
 * only for the result.
 */
export class RowReader implements StoredJson {
  bytes: Buffer = Buffer.alloc(0)
  /** Offsets of the next type and the next column. */
  private typeAt = 0
  private columnAt = 0

  private nameType = 0
  private keyType = 0
  /** Offsets of the text columns; each ends at the next one's offset. */
  private textsAt = 0
  private contentTypeAt = 0
  private nodeAt = 0
  valueAt = 0
  valueEnd = 0
  private valueType = 0
  revision = 0
  createdAtMs = 0
  clock = 0
  private expiresAtMs: number | null = null
  flags = 0
  private largeBytes: number | null = null
  private checksum: number | null = null
  /** Whether the columns that must have numbers have them. */
  private hasNumbers = false

  private readonly readLargeValue: TableReader['value']
  private readonly textCrc = new TextCrc()
  /** The text of the page that the row is in, as Latin-1, where the row is ASCII. */
  private pageText: PageText | null = null

  constructor(readLargeValue: TableReader['value']) {
    this.readLargeValue = readLargeValue
  }

  /** Reads a row whose page ends at `end`; false for one that SQLite must read. */
  load(bytes: Buffer, row: number, end: number): boolean {
    return this.read(bytes, row, end) && this.hasNumbers
  }

  /** Verifies and visits the row that was loaded; returns the size of its value, or `notVisited` where it is no `StoredJson`. */
  visit(collection: string, visitor: MemberVisitor): number {
    if (!this.isPlainJson) return notVisited
    this.verify(collection)
    visitor.stored(this)
    return this.valueEnd - this.valueAt
  }

  /** Whether the row that was loaded is as `StoredJson` says. */
  get isPlainJson(): boolean {
    const isJson = isText(this.valueType) && this.contentTypeAt === this.nodeAt
    return isJson && this.expiresAtMs === null && this.largeBytes === null
  }

  get keyAt(): number {
    return this.textsAt + columnBytes(this.nameType)
  }

  get keyEnd(): number {
    return this.contentTypeAt
  }

  /** The key of the row that was loaded. */
  key(): string {
    return this.text(this.keyAt, this.keyEnd)
  }

  /** The size of the value of the row that was loaded, in bytes. */
  valueBytes(): number {
    return this.largeBytes ?? this.valueEnd - this.valueAt
  }

  /** The member of the row that was loaded and verified, with an empty value for `keysOnly`. */
  member(collection: string, key: string, keysOnly = false): Member {
    const { nodeAt, valueAt } = this
    return {
      key,
      value: keysOnly ? '' : this.value(collection, key),
      revision: this.revision,
      createdAtMs: this.createdAtMs,
      clock: this.clock,
      node: this.text(nodeAt, valueAt),
      expiresAtMs: this.expiresAtMs,
      contentType: this.text(this.contentTypeAt, nodeAt) || jsonContentType,
      flags: this.flags,
    }
  }

  /** The fields of the row that was loaded and verified which a write needs of the version that it replaces. */
  existing(): ExistingVersion {
    return {
      revision: this.revision,
      createdAtMs: this.createdAtMs,
      expiresAtMs: this.expiresAtMs,
      bytes: columnBytes(this.keyType) + this.valueBytes(),
    }
  }

  private value(collection: string, key: string): Value {
    const { bytes, valueAt, valueEnd, largeBytes } = this
    const isJson = isText(this.valueType)
    if (largeBytes !== null) return this.readLargeValue(collection, key, this.revision, largeBytes, isJson)
    return isJson ? this.text(valueAt, valueEnd) : Uint8Array.prototype.slice.call(bytes, valueAt, valueEnd)
  }

  /** Decodes a text. Most are empty, because the default content type and this node's name are stored as NULL. */
  private text(from: number, to: number): string {
    if (from === to) return ''
    return this.pageText?.slice(from, to) ?? this.bytes.toString('utf8', from, to)
  }

  /** Reads all columns; false for a row that is not in kvist's format, or has overflow pages. */
  private read(bytes: Buffer, row: number, end: number): boolean {
    this.bytes = bytes
    this.pageText = null
    this.hasNumbers = true
    if (!this.isWhole(row, end)) return false
    this.typeAt = row + 1
    this.columnAt = row + bytes[row]!
    this.textsAt = this.columnAt
    this.nameType = this.nextType()
    this.keyType = this.nextType()
    this.contentTypeAt = this.columnAt
    this.nextType()
    this.nodeAt = this.columnAt
    this.nextType()
    this.valueAt = this.columnAt
    this.valueType = this.nextType()
    this.valueEnd = this.columnAt
    this.revision = this.requiredNumber()
    this.createdAtMs = this.requiredNumber()
    this.clock = this.requiredNumber()
    this.expiresAtMs = this.nextNumber()
    this.flags = this.requiredNumber()
    this.largeBytes = this.nextNumber()
    this.checksum = this.nextNumber()
    return this.valueType >= 12
  }

  /** Throws `damaged` unless the checksum of the row that was loaded matches. Its texts are taken from `page`, if given. */
  verify(collection: string, page: PageText | null = null): void {
    const { nameType, keyType, contentTypeAt, nodeAt, valueAt } = this
    const expected = memberChecksum(
      this.textCrc.of(this.bytes, this.textsAt, this.valueEnd),
      columnBytes(nameType),
      columnBytes(keyType),
      nodeAt - contentTypeAt,
      valueAt - nodeAt,
      isText(this.valueType),
      this.revision,
      this.createdAtMs,
      this.clock,
      this.expiresAtMs,
      this.flags,
      this.largeBytes,
    )
    if (expected !== this.checksum || !isText(nameType) || !isText(keyType))
      throw damagedMember(collection, this.key(), 'the checksum of its row does not match')
    if (this.textCrc.isAscii) this.pageText = page
  }

  /** Whether all of a row is in its page: reading past the end of a mapped file ends the process. */
  private isWhole(row: number, end: number): boolean {
    const headEnd = row + this.bytes[row]!
    if (headEnd > end) return false
    this.typeAt = row + 1
    this.columnAt = headEnd
    while (this.typeAt < headEnd) this.nextType()
    return this.typeAt === headEnd && this.columnAt - row <= maxRowBytes && this.columnAt <= end
  }

  /** Returns the type of the next column, and advances past both. */
  private nextType(): number {
    const { bytes } = this
    let type = bytes[this.typeAt++]!
    if (type > 127) {
      let next = type
      type = 0
      for (; next > 127; next = bytes[this.typeAt++]!) type = type * 128 + (next & 127)
      type = type * 128 + next
    }
    this.columnAt += columnBytes(type)
    return type
  }

  private nextNumber(): number | null {
    const at = this.columnAt
    return numberAt(this.bytes, at, this.nextType())
  }

  private requiredNumber(): number {
    const number = this.nextNumber()
    if (number === null) this.hasNumbers = false
    return number ?? 0
  }
}
