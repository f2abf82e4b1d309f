import { parseEntityTags } from '../http/entity-tags.ts'
import { eventStream, negotiation } from '../http/media-types.ts'
import { type HeaderBlock, headerBits } from '../http/wire/head.ts'
import type { HttpRequest } from '../http/wire/request.ts'

/** What the header of a GET says about the cache. Clients send the same header with each request: it is read once. */
export interface ReadHeaders {
  /** Empty without one. */
  readonly authorization: string
  /** Whether a response that is held may be used. */
  readonly mayBeHeld: boolean
  readonly hasTags: boolean
  /** The gateways that the request has passed; null for none. */
  readonly via: string | null
}

const chooseType = negotiation('*', [eventStream])
/** What is left to the origin: parts of values, and conditions that are seldom used. */
const passedOn = headerBits(['range', 'if-range', 'if-match', 'if-unmodified-since'])
const tagsBit = headerBits(['if-none-match'])
const sinceBit = headerBits(['if-modified-since'])

/** Tokens are shorter. Longer headers would take memory as long as what their clients have read is held. */
const maxAuthorization = 1024

const known = new WeakMap<HeaderBlock, ReadHeaders>()

export function readRequest(request: HttpRequest): ReadHeaders {
  const before = known.get(request.headers)
  if (before !== undefined) return before
  const found = inspect(request)
  known.set(request.headers, found)
  return found
}

function inspect(request: HttpRequest): ReadHeaders {
  const { present } = request
  const hasTags = (present & tagsBit) !== 0
  // With tags, a date counts for nothing (RFC 9110, 13.1.3).
  const isPlain = (present & passedOn) === 0 && (hasTags || (present & sinceBit) === 0)
  const wantsOrigin = /\b(?:no-cache|no-store|max-age)\b/i.test(request.header('cache-control') ?? '')
  const isWatch = chooseType(request.header('accept')) === eventStream
  const authorization = request.header('authorization') ?? ''
  const isShort = authorization.length <= maxAuthorization
  return {
    authorization,
    mayBeHeld: isPlain && isShort && !wantsOrigin && !isWatch && request.body.declaredBytes === 0,
    hasTags,
    via: request.header('via'),
  }
}

/** Whether the request says that the client knows this state, a member's or, of the tag `"0"`, that there is none. Throws `invalid_request`. */
export function knows(request: HttpRequest, etag: string): boolean {
  const tags = parseEntityTags('If-None-Match', request.header('if-none-match')!)
  return tags === 'any' ? etag !== '"0"' : tags.includes(etag.slice(1, -1))
}
