import type { MemberRef } from './engine.ts'
import { type Change, jsonContentType, type Member } from './member.ts'
import { type Origin, withNodeId } from './origin.ts'
import { formatTime } from './time.ts'

/**
 * Formats changes as the lines of `POST /v1/_replicate`. A line has everything that the target needs to store the change
 * as this node has it; http/v1/replicate.ts parses it.
 */

export interface SentChange {
  readonly change: Change
  /** The member was renewed: its expiry is what is new. */
  readonly isRenewal: boolean
}

/** Returns the line of an entry, with its line break. */
export function entryLine({ change, isRenewal }: SentChange, nodeId: string): string {
  const { type, collection } = change
  const version = type === 'put' ? change.member : change.tombstone
  const { node, clock } = withNodeId(version, nodeId)
  const start = `{"op":"${type}","collection":${JSON.stringify(collection)},"key":${JSON.stringify(version.key)}`
  const origin = `"origin":{"node":"${node}","clock":${clock}}`
  if (type !== 'put') return `${start},${origin}}\n`
  const renewal = isRenewal ? ',"is_renewal":true' : ''
  return `${start},${origin}${renewal},${contentFields(change.member)}}\n`
}

/** Returns the line of a delete with an origin, without a line break. */
export function removalLine({ collection, key }: MemberRef, { node, clock }: Origin): string {
  return JSON.stringify({ op: 'delete', collection, key, origin: { node, clock } })
}

function contentFields(member: Member): string {
  const { contentType, flags, createdAtMs, expiresAtMs } = member
  const expires = expiresAtMs === null ? 'null' : `"${formatTime(expiresAtMs)}"`
  const type = contentType === jsonContentType ? '' : `,"content_type":${JSON.stringify(contentType)}`
  const flagged = flags === 0 ? '' : `,"flags":${flags}`
  return `"created_at":"${formatTime(createdAtMs)}","expires_at":${expires}${type}${flagged},${valueField(member)}`
}

/** JSON stays as it is, unless it has line breaks, which would end the line. */
function valueField({ value }: Member): string {
  if (typeof value === 'string' && !/[\r\n]/.test(value)) return `"value":${value}`
  return `"value_base64":"${Buffer.from(value as Uint8Array).toString('base64')}"`
}
