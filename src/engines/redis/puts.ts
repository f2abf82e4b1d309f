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
 * Groups of puts alone, which are most writes of most stores: no conditions, no quotas, no origins, no large values, and
 * no member twice. They always succeed, so the script (`scripts/puts.lua`) has little to evaluate.
 */

/** Larger groups would need several commands of each kind. */
const maxPuts = 500
const none = -1
/** The elements of a put in the packed list. */
const putElements = 6

/** Returns the puts of the commits if they are nothing else; null otherwise. */
function putsAlone(commits: readonly LineCommit[]): Map<string, { put: Put; commit: LineCommit }> | null {
  const puts = new Map<string, { put: Put; commit: LineCommit }>()
  let count = 0
  for (const commit of commits) {
    const { checks, quotas, writes } = commit
    if (checks.length > 0 || (quotas !== undefined && quotas.length > 0)) return null
    count += writes.length
    if (count > maxPuts) return null
    for (const put of writes) {
      if (put.op !== 'put' || put.origin !== undefined) return null
      // A text has at least as many bytes as characters.
      if (put.value.length > maxInlineBytes || Buffer.byteLength(put.value) > maxInlineBytes) return null
      puts.set(fieldOf(put), { put, commit })
    }
  }
  return puts.size === count && count > 0 ? puts : null
}

/** Returns the packed group for `scripts/puts.lua`; null if it takes `scripts/commits.lua`. */
export function encodePuts(head: GroupHead, commits: readonly LineCommit[]): Buffer | null {
  const puts = putsAlone(commits)
  if (puts === null) return null
  const numbers = headNumbers(head)
  return packedBy(() => {
    writeListHeader(numbers.length + 3)
    writeText(head.instance)
    for (const number of numbers) writeNumber(number)
    writeListHeader(puts.size)
    for (const field of puts.keys()) writeText(field)
    writeListHeader(puts.size * putElements)
    for (const { put, commit } of puts.values()) writePut(put, commit)
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
