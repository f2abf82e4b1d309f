import { KvistError } from '../core/errors.ts'
import { smallBytes } from '../core/limits.ts'
import type { RequestContext } from './context.ts'
import { essence, eventStream } from './media-types.ts'
import { streamed } from './response.ts'
import type { LongLivedResponse } from './wire/client-connection.ts'
import type { HttpRequest } from './wire/request.ts'
import type { HttpResponse, StreamedBody } from './wire/response.ts'

/**
 * Passes requests on to another server and its responses back, as a gateway does (RFC 9110, 7.6): as streams, so that
 * neither side can send faster than the other reads.
 */

/** Fields that concern one connection alone. */
const ofConnection = [
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]

/** Fields of requests that are not passed on: the gateway has checked host and page itself, and frames bodies itself. */
const ownRequestFields: ReadonlySet<string> = new Set([
  ...ofConnection,
  'content-length',
  'expect',
  'host',
  'origin',
  'sec-fetch-dest',
  'sec-fetch-mode',
  'sec-fetch-site',
  'sec-fetch-user',
  'via',
])

/** Fields of responses that are not passed back: the gateway sends its own. */
const ownResponseFields: ReadonlySet<string> = new Set([...ofConnection, 'content-length', 'date', 'via'])

export type HeaderPairs = [name: string, value: string][]

/** Returns the header fields of a request as they are passed on, with the gateway added to `Via`. */
export function forwardedHeaders(request: HttpRequest, via: string): HeaderPairs {
  const { fields } = request.headers
  const named =
    request
      .header('connection')
      ?.toLowerCase()
      .split(/[\t ,]+/) ?? []
  const pairs: HeaderPairs = []
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i]!
    if (!ownRequestFields.has(name) && !named.includes(name)) pairs.push([name, fields[i + 1]!])
  }
  // The runtime would ask for codings that the client may not know.
  if (request.header('accept-encoding') === null) pairs.push(['accept-encoding', 'identity'])
  const { declaredBytes } = request.body
  if (declaredBytes !== null && declaredBytes > 0) pairs.push(['content-length', String(declaredBytes)])
  pairs.push(['via', joined(request.header('via'), via)])
  return pairs
}

function joined(before: string | null, added: string): string {
  return before === null ? added : `${before}, ${added}`
}

/** A segment that URL parsers resolve as a step. */
const stepForm = /\/(?:\.|%2e){1,2}(?:\/|$)/i

/**
 * Returns path and query of a request such that a URL parser keeps them. Keys may contain backslashes, which parsers take
 * for slashes, and segments that are steps. Throws `invalid_request` for steps in paths without a key.
 */
export function forwardedTarget({ path, query }: HttpRequest): string {
  const plain = path.includes('\\') ? path.replaceAll('\\', '%5C') : path
  const safe = stepForm.test(plain) ? withoutSteps(plain) : plain
  return query === null ? safe : `${safe}?${query}`
}

function withoutSteps(path: string): string {
  const [, collection, key] = /^\/v1\/([^/]+)\/(.+)$/s.exec(path) ?? []
  if (collection === undefined || key === undefined || stepForm.test(`/${collection}`))
    throw new KvistError('invalid_request', 'the path has the step . or .., and cannot be passed on')
  const escaped = key.replaceAll('/', '%2F')
  return stepForm.test(`/${escaped}`) ? `/v1/${collection}%2F${escaped}` : `/v1/${collection}/${escaped}`
}

/** Returns the body of a request, which is read as fast as the other server takes it; null without one. */
export function forwardedBody({ body }: HttpRequest): ReadableStream<Uint8Array> | null {
  if (body.declaredBytes === 0) return null
  const parts = body[Symbol.asyncIterator]()
  return new ReadableStream(
    {
      async pull(controller) {
        const { value, done } = await parts.next()
        if (done) controller.close()
        else controller.enqueue(value)
      },
      async cancel() {
        await parts.return?.(undefined)
      },
    },
    { highWaterMark: 0 },
  )
}

const displayNames = new Map([
  ['etag', 'ETag'],
  ['www-authenticate', 'WWW-Authenticate'],
  ['ratelimit', 'RateLimit'],
  ['ratelimit-policy', 'RateLimit-Policy'],
])

function displayName(name: string): string {
  const known = displayNames.get(name)
  if (known !== undefined) return known
  const made = name.replace(/(?:^|-)[a-z]/g, (start) => start.toUpperCase())
  if (displayNames.size < 256) displayNames.set(name, made)
  return made
}

/** Returns the header lines of a response as they are passed back, without those that `isLeftOut` names. */
export function passedHeaders(headers: Headers, isLeftOut: (name: string) => boolean = () => false): string {
  const named =
    headers
      .get('connection')
      ?.toLowerCase()
      .split(/[\t ,]+/) ?? []
  let block = ''
  for (const [name, value] of headers) {
    if (ownResponseFields.has(name) || name.startsWith('access-control-')) continue
    if (named.includes(name) || isLeftOut(name) || !isAscii.test(value)) continue
    const shown = name === 'vary' ? withoutOrigin(value) : value
    if (shown !== '') block += `${displayName(name)}: ${shown}\r\n`
  }
  return block
}

const isAscii = /^[\t\x20-\x7e]*$/

/** Pages of other origins are the gateway's own business (origin-policy.ts). */
function withoutOrigin(vary: string): string {
  return vary
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name.toLowerCase() !== 'origin')
    .join(', ')
}

/** Returns the response of another server, for the client of this request, with `moreLines` after its header lines. */
export async function forwardedResponse(
  response: Response,
  { request, connection }: RequestContext,
  moreLines: string,
): Promise<HttpResponse> {
  const { status } = response
  const headerBlock = passedHeaders(response.headers) + moreLines
  const length = bodyLength(response.headers)
  const isHead = request.method === 'HEAD'
  if (status === 204 || status === 304 || (isHead && length !== null)) {
    release(response)
    return { status, headerBlock, body: null, bodyBytes: length ?? 0 }
  }
  if (length !== null && length <= smallBytes) {
    const body = new Uint8Array(await response.arrayBuffer().catch(throwBrokenOff))
    return { status, headerBlock, body }
  }
  return { status, headerBlock, body: streamedFrom(response, connection) }
}

/** Lets go of a response whose body is not read. */
export function release(response: Response): void {
  response.body?.cancel().catch(() => {})
}

/** Returns the length that a response declares; null without one. */
export function bodyLength(headers: Headers): number | null {
  const declared = headers.get('content-length')
  return declared === null || !/^\d{1,15}$/.test(declared) ? null : Number(declared)
}

function streamedFrom(response: Response, connection: RequestContext['connection']): StreamedBody {
  const reader = response.body?.getReader()
  const isEndless = essence(response.headers.get('content-type') ?? '') === eventStream
  const stop = () => void reader?.cancel().catch(() => {})
  // Ends the read that is pending, and so the response.
  const longLived: LongLivedResponse = { end: stop }
  if (isEndless) {
    try {
      connection.register(longLived)
    } catch (error) {
      stop()
      throw error
    }
    connection.disableTimeout()
  }
  const leave = () => {
    if (isEndless) connection.unregister(longLived)
  }
  async function next(): Promise<Uint8Array | null> {
    const part = await reader?.read().catch(throwBrokenOff)
    if (part === undefined || part.done) {
      leave()
      return null
    }
    if (!isEndless) connection.resetTimeout()
    return part.value
  }
  return streamed(next, () => {
    leave()
    stop()
  })
}

function throwBrokenOff(cause: unknown): never {
  throw new KvistError('unavailable', 'the server behind broke its response off', {}, cause)
}
