import type { ArchivedVersion } from './archive.ts'
import type { Member } from './member.ts'
import { formatTime } from './time.ts'

/** Formats a version of the archive as JSON; `valueFields` returns the field of a value, empty for none. */
export function versionJson(
  { revision, timeMs, type, valueBytes, member }: ArchivedVersion,
  valueFields: (member: Member) => string,
): string {
  const at = timeMs === null ? 'null' : `"${formatTime(timeMs)}"`
  const start = `{"revision":${revision},"at":${at},"type":"${type}"`
  if (member === null) return `${start}}`
  const expires = member.expiresAtMs === null ? 'null' : `"${formatTime(member.expiresAtMs)}"`
  const value = valueFields(member)
  const contentType = JSON.stringify(member.contentType)
  return `${start},"bytes":${valueBytes},"content_type":${contentType},"expires_at":${expires}${value === '' ? '' : `,${value}`}}`
}
