import { jsonContentType, type Member, type MemberHead, type Value } from '../../../core/member.ts'
import { damagedMember } from './damage.ts'
import { crc32, crcOfText, memberChecksum } from './row-checksum.ts'

/** A row of `members` as SQL returns it. */
export interface MemberRow {
  readonly key: string
  readonly contentType: string | null
  readonly node: string | null
  /** Text for JSON, bytes for others; for a large value empty, but of the same type. */
  readonly value: Value
  readonly revision: number
  readonly createdAtMs: number
  readonly clock: number
  readonly expiresAtMs: number | null
  readonly flags: number
  /** Size of a large value in bytes; null for a value that is in the row. */
  readonly largeBytes: number | null
  readonly checksum: number
}

export const memberColumns = `key, content_type AS contentType, node, value, revision, created_at AS createdAtMs, clock,
  expires_at AS expiresAtMs, flags, large_bytes AS largeBytes, checksum`

/** The statement that stores a row; its parameters are those of `memberParams`. */
export const putMemberSql = 'INSERT OR REPLACE INTO members VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)'

/** The parameters of `putMemberSql`. For a large value, which the caller stores in pieces, pass its size. */
export function memberParams(collection: string, member: Member, largeBytes: number | null) {
  const { key, revision, createdAtMs, clock, expiresAtMs, flags } = member
  const row: MemberRow = {
    key,
    contentType: member.contentType === jsonContentType ? null : member.contentType,
    node: member.node || null,
    value: largeBytes === null ? member.value : typeof member.value === 'string' ? '' : new Uint8Array(),
    revision,
    createdAtMs,
    clock,
    expiresAtMs,
    flags,
    largeBytes,
    checksum: 0,
  }
  // biome-ignore format: the columns in one line
  return [collection, key, row.contentType, row.node, row.value, revision, createdAtMs, clock, expiresAtMs, flags, largeBytes, checksumOf(collection, row)] as const
}

/** Throws `damaged` where the checksum of the row does not match. The caller verifies the pieces of a large value. */
export function verifyMemberRow(collection: string, row: MemberRow): void {
  // SQLite returns the type in the row's header, which damage may have changed, whatever the column's type.
  const { key, value, contentType, node } = row
  const isValue = typeof value === 'string' || value instanceof Uint8Array
  if (typeof key !== 'string' || !isValue || !isTextOrNull(contentType) || !isTextOrNull(node))
    throw damagedMember(collection, String(row.key), 'its row has values of other types')
  if (checksumOf(collection, row) !== row.checksum)
    throw damagedMember(collection, row.key, 'the checksum of its row does not match')
}

function isTextOrNull(value: unknown): boolean {
  return value === null || typeof value === 'string'
}

function checksumOf(collection: string, row: MemberRow): number {
  const { key, value, contentType, node } = row
  const contentTypeBytes = contentType === null ? 0 : Buffer.byteLength(contentType)
  const nodeBytes = node === null ? 0 : Buffer.byteLength(node)
  let crc = crcOfText(key, crcOfText(collection))
  if (contentType !== null) crc = crcOfText(contentType, crc)
  if (node !== null) crc = crcOfText(node, crc)
  const isText = typeof value === 'string'
  crc = isText ? crcOfText(value, crc) : crc32(value, 0, value.length, crc)
  return memberChecksum(
    crc,
    Buffer.byteLength(collection),
    Buffer.byteLength(key),
    contentTypeBytes,
    nodeBytes,
    isText,
    row.revision,
    row.createdAtMs,
    row.clock,
    row.expiresAtMs,
    row.flags,
    row.largeBytes,
  )
}

/** The member of a verified row, without its value. */
export function headOfRow(row: MemberRow): MemberHead {
  const { key, value, revision, createdAtMs, clock, expiresAtMs, flags } = row
  const valueBytes = row.largeBytes ?? Buffer.byteLength(value)
  const contentType = row.contentType ?? jsonContentType
  return {
    key,
    valueBytes,
    revision,
    createdAtMs,
    clock,
    node: row.node ?? '',
    expiresAtMs,
    contentType,
    flags,
  }
}

/**
 * The member of a verified row, with a value that is the row's or was read from pieces. An empty content type reads as
 * NULL, because their checksums are equal.
 */
export function memberOfRow(row: MemberRow, value: Value): Member {
  const { key, revision, createdAtMs, clock, expiresAtMs, flags } = row
  const contentType = row.contentType || jsonContentType
  return { key, value, revision, createdAtMs, clock, node: row.node ?? '', expiresAtMs, contentType, flags }
}
