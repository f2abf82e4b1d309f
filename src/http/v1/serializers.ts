import { isUtf8 } from 'node:buffer'
import { stampToMs } from '../../core/clock.ts'
import type { Stored } from '../../core/content.ts'
import type { FeedEvent } from '../../core/feed/scope.ts'
import { type Change, jsonContentType, type Member } from '../../core/member.ts'
import { type Origin, withNodeId } from '../../core/origin.ts'
import { formatTime } from '../../core/time.ts'
import { isTextType } from '../media-types.ts'
import { pieceChars, slices } from './pieces.ts'

/** Serializes members as JSON text by concatenation: values are inserted unchanged, and lists are joined. */

/**
 * The fields of a member to include: its key; what an import needs to restore it; all metadata; or everything, so that
 * another store can copy it exactly.
 */
export type Include = 'keys' | 'values' | 'metadata' | 'all'

export interface MemberShape {
  readonly include: Include
  /** The id of this node, for versions that were written here. */
  readonly nodeId: string
}

export function memberJson(member: Member, shape: MemberShape): string {
  const { value, contentType } = member
  if (shape.include === 'metadata' && typeof value === 'string' && contentType === jsonContentType)
    return jsonMember(member, value)
  const text = shape.include === 'keys' ? '' : `,${valueJson(member)}`
  return `${memberStart(member)}${text}${memberEnd(member, shape)}`
}

/** The most frequent member as one template: the texts of a page take a quarter less time than by its parts. */
function jsonMember({ key, revision, createdAtMs, clock, expiresAtMs }: Member, value: string): string {
  const expires = expiresAtMs === null ? 'null' : `"${formatTime(expiresAtMs)}"`
  const updated = formatTime(stampToMs(clock))
  return `{"key":${quoted(key)},"value":${value},"revision":${revision},"created_at":"${formatTime(createdAtMs)}","updated_at":"${updated}","expires_at":${expires},"content_type":"application/json"}`
}

/** Characters that JSON does not escape. */
const plainText = /^[ !#-[\]-~]*$/

function quoted(text: string): string {
  return plainText.test(text) ? `"${text}"` : JSON.stringify(text)
}

/** Serializes members between two texts, with commas: joined once, because each joint copies. */
export function joinedMembers(
  before: string,
  members: readonly (Member | null)[],
  shape: MemberShape,
  after: string,
): string {
  const texts = [before]
  for (let i = 0; i < members.length; i++) {
    const member = members[i]!
    if (i > 0) texts.push(',')
    texts.push(member === null ? 'null' : memberJson(member, shape))
  }
  texts.push(after)
  return texts.join('')
}

/** As `memberJson`, in one line. */
export function memberLine(member: Member, shape: MemberShape): string {
  return oneLine(memberJson(member, shape))
}

/** As `memberJson`, in pieces, which are short compared with a large value. */
export function* memberPieces(member: Member, shape: MemberShape): Generator<string> {
  if (shape.include === 'keys' || member.value.length <= pieceChars) {
    yield memberJson(member, shape)
    return
  }
  yield `${memberStart(member)},`
  yield* valuePieces(member)
  yield memberEnd(member, shape)
}

/** As `memberPieces`, in one line. */
export function* linePieces(member: Member, shape: MemberShape): Generator<string> {
  for (const piece of memberPieces(member, shape)) yield oneLine(piece)
}

function memberStart({ key }: Member): string {
  return `{"key":${quoted(key)}`
}

/** Returns the text after the value. */
function memberEnd(member: Member, { include, nodeId }: MemberShape): string {
  if (include === 'keys') return '}'
  if (include === 'values') return `${exceptionsJson(member)}}`
  const more = include === 'all' ? `,"flags":${member.flags}${originJson(member, nodeId)}` : ''
  return `,${metadataJson(member)}${more}}`
}

/**
 * Serializes an event of the feed: the current member, its tombstone, or that it leaves; with `nodeId`, including flags and
 * origin, as `include=all` shows.
 */
export function changeJson(event: FeedEvent, nodeId: string | null = null): string {
  const value = hasValue(event) ? `,${valueJson(event.change.member)}` : ''
  return `${changeStart(event)}${value}${changeEnd(event, nodeId)}`
}

/** Serializes an event without the member's value and metadata. */
export function changeKey(event: FeedEvent): string {
  return `${changeStart(event)}}`
}

/** As `changeJson`, in pieces, which are short compared with a large value. */
export function* changePieces(event: FeedEvent, nodeId: string | null): Generator<string> {
  if (!hasValue(event) || event.change.member.value.length <= pieceChars) {
    yield changeJson(event, nodeId)
    return
  }
  yield `${changeStart(event)},`
  yield* valuePieces(event.change.member)
  yield changeEnd(event, nodeId)
}

/** The type of an event as clients see it. */
export function eventType({ change, leaves }: FeedEvent): string {
  return leaves === undefined ? change.type : 'leave'
}

type PutEvent = FeedEvent & { readonly change: Extract<Change, { readonly type: 'put' }> }

function hasValue(event: FeedEvent): event is PutEvent {
  return event.change.type === 'put' && event.leaves === undefined
}

function changeStart(event: FeedEvent): string {
  const { change } = event
  const { revision, key } = change.type === 'put' ? change.member : change.tombstone
  return `{"revision":${revision},"type":"${eventType(event)}","collection":${JSON.stringify(change.collection)},"key":${JSON.stringify(key)}`
}

/** Returns the text after the value. */
function changeEnd(event: FeedEvent, nodeId: string | null): string {
  const { change } = event
  const version = change.type === 'put' ? change.member : change.tombstone
  const origin = nodeId === null ? '' : originJson(version, nodeId)
  if (!hasValue(event)) return `${origin}}`
  const { member } = event.change
  const flags = nodeId === null ? '' : `,"flags":${member.flags}`
  return `,${restJson(member)}${flags}${origin}}`
}

/** As `changeJson`, in one line. */
export function changeLine(event: FeedEvent): string {
  return oneLine(changeJson(event))
}

/** As `changePieces`, in one line. */
export function* changeLinePieces(event: FeedEvent): Generator<string> {
  for (const piece of changePieces(event, null)) yield oneLine(piece)
}

/**
 * Serializes the response to a write: the member without its value, or with the result of an increment, as JSON text.
 */
export function storedJson(
  key: string,
  { revision, createdAtMs, clock, expiresAtMs }: Stored,
  { contentType }: { contentType: string },
  value?: string | null,
): string {
  const stored = `{"key":${JSON.stringify(key)},${metadataJson({ revision, createdAtMs, clock, expiresAtMs, contentType })}`
  return value === undefined ? `${stored}}` : `${stored},"value":${value}}`
}

/** Replaces line breaks with spaces: in JSON they occur only between tokens. */
function oneLine(json: string): string {
  return json.includes('\n') || json.includes('\r') ? json.replace(/[\r\n]/g, ' ') : json
}

/** Serializes a value: JSON unchanged, text as text, and other bytes in base64. */
export function valueJson({ value, contentType }: Pick<Member, 'value' | 'contentType'>): string {
  if (typeof value === 'string') return `"value":${value}`
  const bytes = Buffer.from(value.buffer, value.byteOffset, value.length)
  const text = isTextType(contentType) && isUtf8(bytes) ? bytes.toString() : null
  const textJson = text === null ? null : JSON.stringify(text)
  // Escaping control characters takes up to six times their size, more than a line of an import may have.
  if (text !== null && textJson!.length - text.length <= bytes.length / 4 + 64)
    return `"value_text":${textJson}`
  return `"value_base64":"${bytes.toString('base64')}"`
}

/** As `valueJson`, in pieces, for a large value. */
function* valuePieces(member: Member): Generator<string> {
  const { value, contentType } = member
  if (typeof value === 'string') {
    yield '"value":'
    yield* slices(value)
  } else if (isTextType(contentType)) {
    yield* slices(valueJson(member))
  } else {
    const bytes = Buffer.from(value.buffer, value.byteOffset, value.length)
    yield '"value_base64":"'
    for (let from = 0; from < bytes.length; from += base64Bytes)
      yield bytes.toString('base64', from, from + base64Bytes)
    yield '"'
  }
}

/** A multiple of 3, so that pieces of base64 have no padding. */
const base64Bytes = (pieceChars / 4) * 3

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

/** Serializes the origin of a version, as a field that follows others. */
function originJson(origin: Origin, nodeId: string): string {
  const { node, clock } = withNodeId(origin, nodeId)
  return `,"origin":{"node":${JSON.stringify(node)},"clock":${clock}}`
}

/**
 * Serializes the metadata that an import needs to restore the member. `expires_at` is included even when null, because
 * the importing collection may have a default time to live.
 */
function exceptionsJson({ contentType, expiresAtMs, flags }: Member): string {
  let json = ''
  if (contentType !== jsonContentType) json += `,"content_type":${JSON.stringify(contentType)}`
  json += expiresAtMs === null ? ',"expires_at":null' : `,"expires_at":"${formatTime(expiresAtMs)}"`
  if (flags !== 0) json += `,"flags":${flags}`
  return json
}
