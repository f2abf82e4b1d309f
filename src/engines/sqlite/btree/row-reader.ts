import { jsonContentType, type Member, type Value } from '../../../core/member.ts'
import type { MemberVisitor, StoredJson } from '../../../core/member-visitor.ts'
import { damagedMember } from '../table/damage.ts'
import { memberNumbers, memberRowChecksum, TextCrc } from '../table/row-checksum.ts'
import type { TableReader } from '../table/table-reader.ts'
import type { ExistingVersion } from '../wal/record.ts'
import {
  columnBytes,
  integerBytes,
  isText,
  maxRowBytes,
  readHalves,
  typeAt,
  typeBytes,
} from './page-format.ts'
import type { PageText } from './page-text.ts'

/** Returned in place of a size: the member was not visited. */
export const notVisited = -1

/** Where the halves of the numbers are, in the order of the columns. */
const [revisionAt, createdAt, clockAt, expiresAt, flagsAt, largeAt, checksumAt] = [0, 2, 4, 6, 8, 10, 12]
/** The largest type of a number. */
const lastNumberType = 9

/**
 * Decodes rows of `members` (table/schema.ts). The fields hold the columns of one row at a time, and texts are decoded
 * only for the result.
 */
export class RowReader implements StoredJson {
  bytes: Buffer = Buffer.alloc(0)

  private nameType = 0
  private keyType = 0
  /** Offsets of the text columns; each ends at the next one's offset. */
  private textsAt = 0
  private contentTypeAt = 0
  private nodeAt = 0
  valueAt = 0
  valueEnd = 0
  private valueType = 0
  /** The numbers in halves, as `memberRowChecksum` takes them, and the checksum after them. */
  private readonly halves = new Int32Array(2 * (memberNumbers + 1))
  private hasExpiry = false
  private isLarge = false

  private readonly readLargeValue: TableReader['value']
  private readonly textCrc = new TextCrc()
  /** The text of the page that the row is in, as Latin-1, where the row is ASCII. */
  private pageText: PageText | null = null

  constructor(readLargeValue: TableReader['value']) {
    this.readLargeValue = readLargeValue
  }

  /** Reads a row in bytes, of which `view` is a view, and whose page ends at `end`; false for one that SQLite must read. */
  load(bytes: Buffer, view: DataView, row: number, end: number): boolean {
    this.bytes = bytes
    this.pageText = null
    const headEnd = row + bytes[row]!
    return headEnd <= end && this.readNumbers(view, this.readTexts(row + 1, headEnd), headEnd, row, end)
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
    return isJson && !this.hasExpiry && !this.isLarge
  }

  get revision(): number {
    return this.numberOf(revisionAt)
  }

  get createdAtMs(): number {
    return this.numberOf(createdAt)
  }

  get clock(): number {
    return this.numberOf(clockAt)
  }

  get flags(): number {
    return this.numberOf(flagsAt)
  }

  private get expiresAtMs(): number | null {
    return this.hasExpiry ? this.numberOf(expiresAt) : null
  }

  private get largeBytes(): number | null {
    return this.isLarge ? this.numberOf(largeAt) : null
  }

  private numberOf(at: number): number {
    const low = this.halves[at]!
    const high = this.halves[at + 1]!
    return high === 0 && low >= 0 ? low : high * 2 ** 32 + (low >>> 0)
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

  /**
   * Reads the types of the texts, which begin where the row's header ends, and returns where the types of the numbers begin. It
   * reads at most ten bytes, and a row begins further from the end of its page.
   */
  private readTexts(firstType: number, textsAt: number): number {
    const { bytes } = this
    let at = firstType
    let column = textsAt
    this.textsAt = column
    this.nameType = typeAt(bytes, at)
    at += typeBytes(this.nameType)
    column += columnBytes(this.nameType)
    this.keyType = typeAt(bytes, at)
    at += typeBytes(this.keyType)
    column += columnBytes(this.keyType)
    this.contentTypeAt = column
    const contentType = typeAt(bytes, at)
    at += typeBytes(contentType)
    column += columnBytes(contentType)
    this.nodeAt = column
    const node = typeAt(bytes, at)
    at += typeBytes(node)
    column += columnBytes(node)
    this.valueAt = column
    this.valueType = typeAt(bytes, at)
    this.valueEnd = column + columnBytes(this.valueType)
    return at + typeBytes(this.valueType)
  }

  /** Reads the numbers; false for a row that is not in kvist's format, or has overflow pages. */
  private readNumbers(view: DataView, typesAt: number, headEnd: number, row: number, end: number): boolean {
    const { bytes, halves } = this
    if (this.valueType < 12 || typesAt + memberNumbers + 1 !== headEnd) return false
    let column = this.valueEnd
    for (let i = 0; i <= checksumAt; i += 2) {
      const type = bytes[typesAt + (i >> 1)]!
      if (type > lastNumberType) return false
      const next = column + integerBytes[type]!
      // Reading past the end of a mapped file ends the process.
      if (next > end) return false
      if (!readHalves(view, column, type, halves, i)) {
        if (type !== 0 || (i !== expiresAt && i !== largeAt)) return false
        // As `memberChecksum` folds NULL.
        halves[i] = -1
        halves[i + 1] = -1
      }
      column = next
    }
    this.hasExpiry = bytes[typesAt + expiresAt / 2] !== 0
    this.isLarge = bytes[typesAt + largeAt / 2] !== 0
    return column - row <= maxRowBytes
  }

  /** Throws `damaged` unless the checksum of the row that was loaded matches. Its texts are taken from `page`, if given. */
  verify(collection: string, page: PageText | null = null): void {
    const { nameType, keyType, contentTypeAt, nodeAt, valueAt } = this
    const { halves } = this
    const expected = memberRowChecksum(
      this.textCrc.of(this.bytes, this.textsAt, this.valueEnd),
      columnBytes(nameType),
      columnBytes(keyType),
      nodeAt - contentTypeAt,
      valueAt - nodeAt,
      isText(this.valueType),
      halves,
    )
    const isRight = halves[checksumAt] === expected && halves[checksumAt + 1] === expected >> 31
    if (!isRight || !isText(nameType) || !isText(keyType))
      throw damagedMember(collection, this.key(), 'the checksum of its row does not match')
    if (this.textCrc.isAscii) this.pageText = page
  }
}
