import { isUtf8 } from 'node:buffer'
import { stampToMs } from '../../core/clock.ts'
import type { Stored } from '../../core/content.ts'
import { type Change, jsonContentType, type Member } from '../../core/member.ts'
import { type Origin, withNodeId } from '../../core/origin.ts'
import { formatTime } from '../../core/time.ts'
import { isTextType } from '../media-types.ts'

/** Members as JSON text, written out by hand: values go in as they are, and a list is only joined. */

/**
 * What is shown of a member: its key; what storing it again takes; what there is to know of it; or all there is, so that
 * another store can have it exactly as it is here.
 */
export type Include = 'keys' | 'values' | 'metadata' | 'all'

export interface MemberShape {
  readonly include: Include
  /** The id of this node, for versions that were written here. */
  readonly nodeId: string
}

export function memberJson(member: Member, { include, nodeId }: MemberShape): string {
  const key = `{"key":${JSON.stringify(member.key)}`
  if (include === 'keys') return `${key}}`
  const value = valueJson(member)
  if (include === 'values') return `${key},${value}${exceptionsJson(member)}}`
  const more = include === 'all' ? `,"flags":${member.flags}${originJson(member, nodeId)}` : ''
  return `${key},${value},${metadataJson(member)}${more}}`
}

/** As `memberJson`, in one line. */
export function memberLine(member: Member, shape: MemberShape): string {
  return oneLine(memberJson(member, shape))
}

/** A change: the member as it is now, or that it is gone; with the id of this node all there is, as `include=all` shows. */
export function changeJson(change: Change, nodeId: string | null = null): string {
  const isPut = change.type === 'put'
  const { revision, key } = isPut ? change.member : change.tombstone
  const origin = nodeId === null ? '' : originJson(isPut ? change.member : change.tombstone, nodeId)
  const what = `{"revision":${revision},"type":"${change.type}","collection":${JSON.stringify(change.collection)},"key":${JSON.stringify(key)}`
  if (!isPut) return `${what}${origin}}`
  const flags = nodeId === null ? '' : `,"flags":${change.member.flags}`
  return `${what},${valueJson(change.member)},${restJson(change.member)}${flags}${origin}}`
}

/** As `changeJson`, in one line. */
export function changeLine(change: Change): string {
  return oneLine(changeJson(change))
}

/** The response to a write: the member without its value, or with the number that an increment came to, as JSON text. */
export function storedJson(
  key: string,
  { revision, createdAtMs, clock, expiresAtMs }: Stored,
  { contentType }: { contentType: string },
  value?: string | null,
): string {
  const stored = `{"key":${JSON.stringify(key)},${metadataJson({ revision, createdAtMs, clock, expiresAtMs, contentType })}`
  return value === undefined ? `${stored}}` : `${stored},"value":${value}}`
}

/** Line breaks in JSON can only stand between its tokens, where a space does too. */
function oneLine(json: string): string {
  return json.includes('\n') || json.includes('\r') ? json.replace(/[\r\n]/g, ' ') : json
}

/** JSON as it was stored, text as text, and other bytes in base64. */
function valueJson({ value, contentType }: Member): string {
  if (typeof value === 'string') return `"value":${value}`
  const bytes = Buffer.from(value.buffer, value.byteOffset, value.length)
  const text = isTextType(contentType) && isUtf8(bytes) ? bytes.toString() : null
  const textJson = text === null ? null : JSON.stringify(text)
  // A text of control characters would take six times its room, more than a line of an import may have.
  if (text !== null && textJson!.length - text.length <= bytes.length / 4 + 64)
    return `"value_text":${textJson}`
  return `"value_base64":"${bytes.toString('base64')}"`
}

type Metadata = Pick<Member, 'revision' | 'createdAtMs' | 'clock' | 'expiresAtMs' | 'contentType'>

function metadataJson(metadata: Metadata): string {
  return `"revision":${metadata.revision},${restJson(metadata)}`
}

function restJson({ createdAtMs, clock, expiresAtMs, contentType }: Metadata): string {
  const expires = expiresAtMs === null ? 'null' : `"${formatTime(expiresAtMs)}"`
  const type = contentType === jsonContentType ? '"application/json"' : JSON.stringify(contentType)
  const updated = formatTime(stampToMs(clock))
  const created = formatTime(createdAtMs)
  return `"created_at":"${created}","updated_at":"${updated}","expires_at":${expires},"content_type":${type}`
}

/** Where and when it was written; another field behind others. */
function originJson(origin: Origin, nodeId: string): string {
  const { node, clock } = withNodeId(origin, nodeId)
  return `,"origin":{"node":${JSON.stringify(node)},"clock":${clock}}`
}

/**
 * What storing the member again would lose without. That it never expires is said too: where it goes, a default time to live
 * may await those who say nothing.
 */
function exceptionsJson({ contentType, expiresAtMs, flags }: Member): string {
  let json = ''
  if (contentType !== jsonContentType) json += `,"content_type":${JSON.stringify(contentType)}`
  json += expiresAtMs === null ? ',"expires_at":null' : `,"expires_at":"${formatTime(expiresAtMs)}"`
  if (flags !== 0) json += `,"flags":${flags}`
  return json
}
