import type { CommitResult, Put, Written } from '../../core/engine.ts'
import {
  type GroupChange,
  type GroupHead,
  type GroupResult,
  headNumbers,
  type LineCommit,
  putOf,
} from './group.ts'
import { fieldOf, maxInlineBytes } from './layout.ts'
import {
  packedBy,
  writeBytesHeader,
  writeListHeader,
  writeNumber,
  writeRawBytes,
  writeRawDouble,
  writeRawText,
  writeRawUint16,
  writeRawUint32,
  writeText,
} from './msgpack.ts'
import { recordBit, typeInRecord } from './record.ts'

/**
 * Groups of puts alone, which are most writes of most stores: no conditions, no quotas, no origins, no large values. They
 * always succeed, so the script (`scripts/puts.lua`) has little to evaluate.
 */

/** Larger groups would need several commands of each kind. */
const maxPuts = 500
const none = -1
/** The elements of a put in the packed list. */
const putElements = 6

/** Returns how many puts the commits have if they are nothing else; 0 otherwise. */
function countPuts(commits: readonly LineCommit[]): number {
  let count = 0
  for (const { checks, quotas, writes } of commits) {
    if (checks.length > 0 || (quotas !== undefined && quotas.length > 0)) return 0
    count += writes.length
    if (count > maxPuts) return 0
    for (const put of writes) {
      if (put.op !== 'put' || put.origin !== undefined || put.ifDone !== undefined) return 0
      // A text has at least as many bytes as characters.
      if (put.value.length > maxInlineBytes || Buffer.byteLength(put.value) > maxInlineBytes) return 0
    }
  }
  return count
}

/** Returns the packed group for `scripts/puts.lua`; null if it takes `scripts/commits.lua`. */
export function encodePuts(head: GroupHead, commits: readonly LineCommit[]): Buffer | null {
  const count = countPuts(commits)
  if (count === 0) return null
  const numbers = headNumbers(head)
  return packedBy(() => {
    writeListHeader(numbers.length + 3)
    writeText(head.instance)
    for (const number of numbers) writeNumber(number)
    writeListHeader(count)
    for (const { writes } of commits) for (const put of writes) writeText(fieldOf(put))
    writeListHeader(count * putElements)
    for (const commit of commits) for (const put of commit.writes) writePut(put as Put, commit)
  })
}

/** What the script needs to know, then the record from the flags on (record.ts). */
function writePut({ value, contentType, flags, expiresAtMs }: Put, { floor, nowMs }: LineCommit): void {
  const isText = typeof value === 'string'
  const bytes = isText ? Buffer.byteLength(value) : value.length
  const type = typeInRecord(value, contentType)
  const typeBytes = type === '' ? 0 : Buffer.byteLength(type)
  let kind = isText ? recordBit.text : 0
  if (expiresAtMs !== null) kind += recordBit.ends
  if (typeBytes > 0) kind += recordBit.typed
  writeNumber(floor)
  writeNumber(nowMs)
  writeNumber(kind)
  writeNumber(expiresAtMs ?? none)
  writeNumber(bytes)
  writeBytesHeader(4 + (expiresAtMs === null ? 0 : 8) + (typeBytes > 0 ? 2 + typeBytes : 0) + bytes)
  writeRawUint32(flags)
  if (expiresAtMs !== null) writeRawDouble(expiresAtMs)
  if (typeBytes > 0) {
    writeRawUint16(typeBytes)
    writeRawText(type, typeBytes)
  }
  if (isText) writeRawText(value, bytes)
  else writeRawBytes(value)
}

const revisionsBytes = 16
const resultBytes = 17

/** Decodes what `scripts/puts.lua` returns: both revisions of the line, and a result of each put. */
export function decodePuts(reply: Buffer, commits: readonly LineCommit[]): GroupResult {
  const changes: GroupChange[] = []
  const counts: number[] = []
  let at = revisionsBytes
  const results = commits.map(({ writes }): CommitResult => {
    const written = writes.map((put): Written => {
      const revision = reply.readDoubleBE(at)
      const createdAtMs = reply.readDoubleBE(at + 8)
      const existed = reply[at + 16] === 1
      at += resultBytes
      changes.push(putOf(put as Put, { revision, createdAtMs, clock: revision, node: '' }))
      return { revision, createdAtMs, clock: revision, existed }
    })
    counts.push(written.length)
    return { ok: true, written }
  })
  const after = reply.readDoubleBE(8)
  return { before: reply.readDoubleBE(0), after, results, changes, counts, clock: after }
}
