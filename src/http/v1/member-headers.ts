import { stampToMs } from '../../core/clock.ts'
import { jsonContentType, type Member } from '../../core/member.ts'
import { formatHttpDate, formatTime } from '../../core/time.ts'
import { inertLines, noCacheLine } from '../answer.ts'

/**
 * Header lines of members that are asked for again and again. Those come out of the cache as the same object: the second
 * time one is seen its lines are made to be kept, until another member takes the place of its revision.
 */
const places = 1024
const seen: (Member | undefined)[] = new Array(places).fill(undefined)
const kept: (string | undefined)[] = new Array(places).fill(undefined)
/** Larger members are not held on to; their headers are the least of their cost. */
const maxSeenLength = 4096

/** A GET that accepts events gets another response. */
const memberConstants = `${inertLines}${noCacheLine}Vary: Accept\r\nAccept-Ranges: bytes\r\n`

/** The header lines of an answer with a member, but for what frames its body. */
export function memberLines(member: Member): string {
  const place = member.revision & (places - 1)
  if (seen[place] === member) {
    const known = kept[place] ?? madeLines(member)
    kept[place] = known
    return known
  }
  if (member.value.length <= maxSeenLength) {
    seen[place] = member
    kept[place] = undefined
  }
  return madeLines(member)
}

function madeLines({ contentType, revision, clock, expiresAtMs }: Member): string {
  const type = contentType === jsonContentType ? 'application/json' : contentType
  const lines = `${memberConstants}Content-Type: ${type}\r\nETag: "${revision}"\r\nLast-Modified: ${formatHttpDate(stampToMs(clock))}\r\n`
  return expiresAtMs === null ? lines : `${lines}Kvist-Expires-At: ${formatTime(expiresAtMs)}\r\n`
}
