import { stampToMs } from '../../core/clock.ts'
import { jsonContentType, type Member } from '../../core/member.ts'
import { formatHttpDate, formatTime } from '../../core/time.ts'

/** The headers of an answer with a member, as `new Response` takes them. To be used at once: the next call changes it. */
export interface MemberHeaders {
  readonly headers: Headers
}

/**
 * Headers of members that are asked for again and again. Those come out of the cache as the same object: the second
 * time one is seen its headers are made to be kept, until another member takes the place of its revision.
 */
const places = 1024
const seen: (Member | undefined)[] = new Array(places).fill(undefined)
const kept: (MemberHeaders | undefined)[] = new Array(places).fill(undefined)
/** Larger members are not held on to; their headers are the least of their cost. */
const maxSeenLength = 4096

export function memberHeaders(member: Member): MemberHeaders {
  const place = member.revision & (places - 1)
  if (seen[place] === member) {
    const known = kept[place] ?? { headers: new Headers(madeHeaders(member)) }
    kept[place] = known
    return known
  }
  if (member.value.length <= maxSeenLength) {
    seen[place] = member
    kept[place] = undefined
  }
  return { headers: madeHeaders(member) }
}

/**
 * Response copies the headers that it is given, so one object serves for all members that need the same three: setting
 * what differs in it costs half of making another.
 */
const usualHeaders = new Headers({ 'content-type': jsonContentType })
let usualModifiedAt = ''

function madeHeaders(member: Member): Headers {
  const modifiedAt = formatHttpDate(stampToMs(member.clock))
  if (member.contentType === jsonContentType && member.expiresAtMs === null) {
    usualHeaders.set('etag', `"${member.revision}"`)
    if (modifiedAt !== usualModifiedAt) usualHeaders.set('last-modified', modifiedAt)
    usualModifiedAt = modifiedAt
    return usualHeaders
  }
  const answer = new Headers({
    'content-type': member.contentType,
    etag: `"${member.revision}"`,
    'last-modified': modifiedAt,
  })
  if (member.expiresAtMs !== null) answer.set('kvist-expires-at', formatTime(member.expiresAtMs))
  return answer
}
