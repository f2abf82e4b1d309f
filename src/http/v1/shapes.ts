import { stampToMs } from '../../core/clock.ts'
import type { Stored } from '../../core/database.ts'
import { jsonContentType, type Member } from '../../core/member.ts'
import { formatTime } from '../../core/time.ts'

/** Members as JSON text, written out by hand: values go in as they are, and a list is only joined. */

/** What of a member a list shows: its key, what storing it again takes, or all there is. */
export type Include = 'keys' | 'values' | 'all'

export function memberJson(member: Member, include: Include): string {
  const key = `{"key":${JSON.stringify(member.key)}`
  if (include === 'keys') return `${key}}`
  const value = valueJson(member)
  if (include === 'values') return `${key},${value}${exceptionsJson(member)}}`
  return `${key},${value},${metadataJson(member)}}`
}

/** As `memberJson`, in one line: line breaks in JSON can only stand between its tokens, where a space does too. */
export function memberLine(member: Member, include: Include): string {
  const json = memberJson(member, include)
  return json.includes('\n') || json.includes('\r') ? json.replace(/[\r\n]/g, ' ') : json
}

/** The answer to a write: the member without its value. */
export function storedJson(
  key: string,
  { revision, createdAtMs, clock, expiresAtMs }: Stored,
  { contentType }: { contentType: string },
): string {
  return `{"key":${JSON.stringify(key)},${metadataJson({ revision, createdAtMs, clock, expiresAtMs, contentType })}}`
}

function valueJson({ value }: Member): string {
  if (typeof value === 'string') return `"value":${value}`
  return `"value_base64":"${Buffer.from(value.buffer, value.byteOffset, value.length).toString('base64')}"`
}

type Metadata = Pick<Member, 'revision' | 'createdAtMs' | 'clock' | 'expiresAtMs' | 'contentType'>

function metadataJson({ revision, createdAtMs, clock, expiresAtMs, contentType }: Metadata): string {
  const expires = expiresAtMs === null ? 'null' : `"${formatTime(expiresAtMs)}"`
  const type = contentType === jsonContentType ? '"application/json"' : JSON.stringify(contentType)
  const updated = formatTime(stampToMs(clock))
  const created = formatTime(createdAtMs)
  return `"revision":${revision},"created_at":"${created}","updated_at":"${updated}","expires_at":${expires},"content_type":${type}`
}

/** What is not as most members have it, and storing the member again would lose without. */
function exceptionsJson({ contentType, expiresAtMs, flags }: Member): string {
  let json = ''
  if (contentType !== jsonContentType) json += `,"content_type":${JSON.stringify(contentType)}`
  if (expiresAtMs !== null) json += `,"expires_at":"${formatTime(expiresAtMs)}"`
  if (flags !== 0) json += `,"flags":${flags}`
  return json
}
