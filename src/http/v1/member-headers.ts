import { stampToMs } from '../../core/clock.ts'
import { jsonContentType, type Member } from '../../core/member.ts'
import { formatHttpDate, formatTime } from '../../core/time.ts'
import { inertHeaders, noCacheHeader } from '../response.ts'

/**
 * Headers of members that are asked for again and again. Those come out of the cache as the same object: the second
 * time one is seen its headers are made to be kept, until another member takes the place of its revision.
 */
const slots = 1024
const seen: (Member | undefined)[] = new Array(slots).fill(undefined)
const kept: (string | undefined)[] = new Array(slots).fill(undefined)
/** Larger members are not held on to; their headers are the least of their cost. */
const maxSeenLength = 4096

/** A GET that accepts events gets another response. */
const constantHeaders = `${inertHeaders}${noCacheHeader}Vary: Accept\r\nAccept-Ranges: bytes\r\n`

/**
 * The headers of a response with a member, but for what frames its body. Last-Modified is left out while it would lie
 * after Date (RFC 9110, 8.8.2.1).
 */
export function memberHeaders(member: Member, nowMs: number): string {
  // Seldom: within a second of the write, or when the clock was set back.
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
 * When a member was last written, as a date in whole seconds: the first one after the write. The second of the
 * write itself would be the date of every write in that second, and a client could not distinguish them.
 */
export function lastModifiedMs({ clock }: Pick<Member, 'clock'>): number {
  return (Math.floor(stampToMs(clock) / 1000) + 1) * 1000
}

function fullHeaders(member: Member): string {
  return headersOf(member, `Last-Modified: ${formatHttpDate(lastModifiedMs(member))}\r\n`)
}

function headersOf({ contentType, revision, expiresAtMs }: Member, modifiedLine: string): string {
  const type = contentType === jsonContentType ? 'application/json' : contentType
  const headerBlock = `${constantHeaders}Content-Type: ${type}\r\nETag: "${revision}"\r\n${modifiedLine}`
  return expiresAtMs === null ? headerBlock : `${headerBlock}Kvist-Expires-At: ${formatTime(expiresAtMs)}\r\n`
}
