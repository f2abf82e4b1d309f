import type { LostContent, LostVersion } from './conflict-records.ts'
import type { ForeignWrite } from './foreign-write.ts'
import { maxConflictValueBytes } from './limits.ts'
import { isExpired, type Member, type MemberHead, type RemovalCause, type Value } from './member.ts'
import type { StoredOrigin } from './origin.ts'

/** What is lost when of a write and a stored version one replaces the other. */

/** A version as it is stored before the commit. */
export type StoredVersion = StoredOrigin &
  ({ readonly type: 'put'; readonly head: MemberHead } | { readonly type: RemovalCause })

/** Whether the stored value may be recorded, or equal the written one. */
export function mayNeedValue(write: ForeignWrite, { valueBytes }: MemberHead): boolean {
  return valueBytes <= maxConflictValueBytes || (write.op === 'put' && bytesOf(write.value) === valueBytes)
}

function bytesOf(value: Value): number {
  return Buffer.byteLength(value)
}

export function isSame(
  write: Extract<ForeignWrite, { readonly op: 'put' }>,
  { contentType, flags, expiresAtMs, value }: Pick<Member, 'contentType' | 'flags' | 'expiresAtMs' | 'value'>,
): boolean {
  return (
    write.contentType === contentType &&
    write.flags === flags &&
    write.expiresAtMs === expiresAtMs &&
    bytesOf(write.value) === bytesOf(value) &&
    Buffer.from(write.value as Uint8Array).equals(Buffer.from(value as Uint8Array))
  )
}

/** Whether something is lost with a version: not if it had expired, nor if both are deletes. */
export function isLoss(lost: LostVersion, isRemoved: boolean, nowMs: number): boolean {
  if (lost.type !== 'put') return lost.type === 'delete' && !isRemoved
  return lost.content === null || !isExpired(lost.content, nowMs)
}

export function lostWrite(write: ForeignWrite): LostVersion {
  const { clock, node } = write.origin
  if (write.op === 'delete') return { type: write.cause, clock, node, revision: null }
  const { value, contentType, flags, expiresAtMs, origin } = write
  const content = contentOf(
    { contentType, flags, expiresAtMs, createdAtMs: origin.createdAtMs },
    bytesOf(value),
    value,
  )
  return { type: 'put', clock, node, revision: null, content }
}

export function lostStored(stored: StoredVersion, value: Value | null): LostVersion {
  const { clock, node, revision } = stored
  if (stored.type !== 'put') return { type: stored.type, clock, node, revision }
  return {
    type: 'put',
    clock,
    node,
    revision,
    content: contentOf(stored.head, stored.head.valueBytes, value),
  }
}

function contentOf(
  { contentType, flags, expiresAtMs, createdAtMs }: Omit<LostContent, 'bytes' | 'value'>,
  bytes: number,
  value: Value | null,
): LostContent {
  const kept = bytes > maxConflictValueBytes ? null : value
  return { createdAtMs, expiresAtMs, contentType, flags, bytes, value: kept }
}
