import { stampToMs } from '../../core/clock.ts'
import { jsonContentType, type Member } from '../../core/member.ts'
import { formatHttpDate, formatTime, remembered } from '../../core/time.ts'
import { inertHeaders, noCacheHeader } from '../response.ts'

/**
 * A cache of headers for members that are read repeatedly, by revision modulo `slots`. Members from the read cache are
 * the same object each time: when one is seen a second time its headers are cached, until another member uses its slot.
 */
const slots = 1024
const seen: (Member | undefined)[] = new Array(slots).fill(undefined)
const kept: (string | undefined)[] = new Array(slots).fill(undefined)
/** Larger members are not cached; their headers are the least of their cost. */
const maxSeenLength = 4096

/** Varies by Accept, because a GET that accepts events gets a stream. */
const constantHeaders = `${inertHeaders}${noCacheHeader}Vary: Accept\r\nAccept-Ranges: bytes\r\n`

/**
 * Returns the headers of a response with a member, except those that frame its body. Last-Modified is omitted while it
 * would be later than Date (RFC 9110, 8.8.2.1).
 */
export function memberHeaders(member: Member, nowMs: number): string {
  // Rare: within a second of the write, or after the clock was set back.
  if (lastModifiedMs(member) > nowMs) return headersOf(member, '')
  const slot = member.revision & (slots - 1)
  if (seen[slot] === member) {
    const known = kept[slot] ?? fullHeaders(member)
    kept[slot] = known
    return known
  }
  if (member.value.length <= maxSeenLength) {
    seen[slot] = member
    kept[slot] = undefined
  }
  return fullHeaders(member)
}

/**
 * Returns the first whole second after a member's last write, in milliseconds. The second of the write itself would be
 * the date of every write in that second, and a client could not distinguish them.
 */
export function lastModifiedMs({ clock }: Pick<Member, 'clock'>): number {
  return (Math.floor(stampToMs(clock) / 1000) + 1) * 1000
}

function fullHeaders(member: Member): string {
  const modifiedMs = lastModifiedMs(member)
  if (member.contentType === jsonContentType && member.expiresAtMs === null)
    return `${jsonHeaders(modifiedMs / 1000)}ETag: "${member.revision}"\r\n`
  return headersOf(member, modifiedLine(modifiedMs))
}

/** The headers of JSON members of one second but for the ETag: joining all lines for each member costs more than the rest. */
const jsonHeaders = remembered(256, (modifiedSeconds) =>
  [constantHeaders, 'Content-Type: application/json\r\n', modifiedLine(modifiedSeconds * 1000)].join(''),
)

function modifiedLine(ms: number): string {
  return `Last-Modified: ${formatHttpDate(ms)}\r\n`
}

function headersOf({ contentType, revision, expiresAtMs }: Member, lastModified: string): string {
  const type = contentType === jsonContentType ? 'application/json' : contentType
  const headerBlock = `${constantHeaders}Content-Type: ${type}\r\n${lastModified}ETag: "${revision}"\r\n`
  return expiresAtMs === null ? headerBlock : `${headerBlock}Kvist-Expires-At: ${formatTime(expiresAtMs)}\r\n`
}
