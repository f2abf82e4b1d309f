import { jsonContentType, type Member } from '../../../core/member.ts'
import { damagedMember } from '../table/damage.ts'
import { crc32, memberChecksum } from '../table/row-checksum.ts'
import type { TableReader } from '../table/table-reader.ts'
import type { ExistingVersion } from '../wal/record.ts'
import { columnBytes, isText, maxRowBytes, numberAt } from './page-format.ts'

/**
 * Decodes rows of `members` (table/schema.ts). The fields hold the columns of one row at a time, and texts are decoded
 * only for the result.
 */
export class RowReader {
  private bytes: Buffer = Buffer.alloc(0)
  /** Offsets of the next type and the next column. */
  private typeAt = 0
  private columnAt = 0

  private nameType = 0
  private keyType = 0
  /** Offsets of the text columns; each ends at the next one's offset. */
  private textsAt = 0
  private contentTypeAt = 0
  private nodeAt = 0
  private valueAt = 0
  private valueEnd = 0
  private valueType = 0
  private revision: number | null = null
  private createdAtMs: number | null = null
  private clock: number | null = null
  private expiresAtMs: number | null = null
  private flags: number | null = null
  private largeBytes: number | null = null
  private checksum: number | null = null

  private readonly readLargeValue: TableReader['value']

  constructor(readLargeValue: TableReader['value']) {
    this.readLargeValue = readLargeValue
  }

  /** Reads a row whose page ends at `end`; undefined for one that SQLite must read. Throws `damaged`. */
  member(bytes: Buffer, row: number, end: number, collection: string, key: string): Member | undefined {
    if (!this.read(bytes, row, end)) return undefined
    const { revision, createdAtMs, clock, flags, largeBytes, valueAt, valueEnd } = this
    if (revision === null || createdAtMs === null || clock === null || flags === null) return undefined
    this.verify(collection, key, revision, createdAtMs, clock, flags)
    const isJson = isText(this.valueType)
    return {
      key,
      value:
        largeBytes !== null
          ? this.readLargeValue(collection, key, revision, largeBytes, isJson)
          : isJson
            ? bytes.toString('utf8', valueAt, valueEnd)
            : Uint8Array.prototype.slice.call(bytes, valueAt, valueEnd),
      revision,
      createdAtMs,
      clock,
      node: textOf(bytes, this.nodeAt, valueAt),
      expiresAtMs: this.expiresAtMs,
      contentType: textOf(bytes, this.contentTypeAt, this.nodeAt) || jsonContentType,
      flags,
    }
  }

  /** As `member`, with only the fields that a write needs of the version that it replaces. */
  existing(
    bytes: Buffer,
    row: number,
    end: number,
    collection: string,
    key: string,
  ): ExistingVersion | undefined {
    if (!this.read(bytes, row, end)) return undefined
    const { revision, createdAtMs, clock, flags, largeBytes, valueAt, valueEnd } = this
    if (revision === null || createdAtMs === null || clock === null || flags === null) return undefined
    this.verify(collection, key, revision, createdAtMs, clock, flags)
    const valueBytes = largeBytes ?? valueEnd - valueAt
    return {
      revision,
      createdAtMs,
      expiresAtMs: this.expiresAtMs,
      bytes: columnBytes(this.keyType) + valueBytes,
    }
  }

  /** Reads all columns; false for a row that is not in kvist's format, or has overflow pages. */
  private read(bytes: Buffer, row: number, end: number): boolean {
    this.bytes = bytes
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
    this.revision = this.nextNumber()
    this.createdAtMs = this.nextNumber()
    this.clock = this.nextNumber()
    this.expiresAtMs = this.nextNumber()
    this.flags = this.nextNumber()
    this.largeBytes = this.nextNumber()
    this.checksum = this.nextNumber()
    return this.valueType >= 12
  }

  private verify(
    collection: string,
    key: string,
    revision: number,
    createdAtMs: number,
    clock: number,
    flags: number,
  ): void {
    const { nameType, keyType, contentTypeAt, nodeAt, valueAt } = this
    const expected = memberChecksum(
      crc32(this.bytes, this.textsAt, this.valueEnd),
      columnBytes(nameType),
      columnBytes(keyType),
      nodeAt - contentTypeAt,
      valueAt - nodeAt,
      isText(this.valueType),
      revision,
      createdAtMs,
      clock,
      this.expiresAtMs,
      flags,
      this.largeBytes,
    )
    if (expected !== this.checksum || !isText(nameType) || !isText(keyType))
      throw damagedMember(collection, key, 'the checksum of its row does not match')
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
}

/** Decodes a text. Most are empty, because the default content type and this node's name are stored as NULL. */
function textOf(bytes: Buffer, from: number, to: number): string {
  return from === to ? '' : bytes.toString('utf8', from, to)
}
