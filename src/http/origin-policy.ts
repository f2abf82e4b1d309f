import { isIP } from 'node:net'
import { KvistError } from '../core/errors.ts'
import type { RequestContext } from './context.ts'
import { headerBlockOf, responseOf } from './response.ts'
import type { Api } from './route.ts'
import type { HttpRequest } from './wire/request.ts'
import type { HttpResponse } from './wire/response.ts'

/**
 * Which web pages may use this server. Any page that somebody opens can send requests to 127.0.0.1 from their browser. A
 * server without a token therefore refuses what a page of another origin sends, which browsers say in `Origin` and
 * `Sec-Fetch-Site`, and what is sent to a host name that is not its own: with a name of theirs that resolves to this
 * machine (DNS rebinding), the pages of a stranger would be pages of this server. A server with a token has nothing to
 * fear from a page that does not know it. Pages of the origins in `corsOrigins` may use either, and read the responses.
 */
export interface OriginOptions {
  readonly needsToken: boolean
  /** Names of this server beside IP addresses and `localhost`, in lower case. */
  readonly hostNames: readonly string[]
  /** As browsers send them; `*` for any. */
  readonly corsOrigins: readonly string[]
}

/**
 * Checks a request before it is handled, and sets the CORS headers of its response. Returns the response to a
 * preflight. Throws `forbidden_origin` and `misdirected`.
 */
export type OriginCheck = (request: HttpRequest, context: Lined) => HttpResponse | null

/** Where the headers go that a response has beside those of its handler. */
type Lined = Pick<RequestContext, 'extraHeaders'>

/** What of a route decides which pages may send requests to it. */
interface Openness {
  readonly isPage?: boolean
  readonly api?: Api | undefined
}

/** Response headers that a script may read beside those that it always may. */
const exposedHeaders = [
  'Accept-Patch',
  'Accept-Ranges',
  'Allow',
  'Content-Encoding',
  'Content-Range',
  'Date',
  'ETag',
  'Kvist-Expires-At',
  'Link',
  'Location',
  'Retry-After',
  'WWW-Authenticate',
  'X-Request-Id',
].join(', ')

/** Request headers that the API reads. `*` allows any other, but never Authorization. */
const requestHeaders = [
  'Authorization',
  'Content-Encoding',
  'Content-Type',
  'Idempotency-Key',
  'If-Match',
  'If-Modified-Since',
  'If-None-Match',
  'If-Range',
  'If-Unmodified-Since',
  'Last-Event-ID',
  'Range',
  'X-Request-Id',
  '*',
].join(', ')

const preflight = responseOf(204, {
  'Access-Control-Allow-Methods': 'GET, HEAD, PUT, POST, PATCH, DELETE',
  'Access-Control-Allow-Headers': requestHeaders,
  'Access-Control-Max-Age': '7200',
  // Chromium asks for it where a public page uses a server of a private network.
  'Access-Control-Allow-Private-Network': 'true',
})

const anyOriginHeaders = corsHeaders('*')
const varyHeader = headerBlockOf({ Vary: 'Origin' })

function corsHeaders(allowed: string): string {
  return headerBlockOf({
    'Access-Control-Allow-Origin': allowed,
    'Access-Control-Expose-Headers': exposedHeaders,
  })
}

/** The checks of a server's routes. One for which there is nothing to check has null. */
export function originPolicy(options: OriginOptions): (route: Openness) => OriginCheck | null {
  const { needsToken, corsOrigins } = options
  const isServersOwn = hostCheck(options.hostNames)
  const allowsAny = corsOrigins.includes('*')
  const allowed = new Map(corsOrigins.map((origin) => [origin, corsHeaders(origin) + varyHeader]))
  /** For caches: what is sent to no page, or to another, lacks the headers that some page needs. */
  const usualHeaders = allowsAny ? anyOriginHeaders : allowed.size > 0 ? varyHeader : ''
  /** What a header block that needs no further look has passed. */
  const policy = {}

  function requireOwnHost(request: HttpRequest): void {
    const host = request.header('host')
    // Without a Host it is no browser.
    if (needsToken || host === null || host === '' || isServersOwn(host)) return
    throw misdirected(host)
  }

  function check(request: HttpRequest, context: Lined, isPage: boolean): HttpResponse | null {
    const { headers } = request
    context.extraHeaders = usualHeaders
    if (headers.passedBy === policy) return null
    requireOwnHost(request)
    const origin = request.header('origin')
    if (origin !== null && (allowsAny || allowed.has(origin))) {
      context.extraHeaders = allowed.get(origin) ?? anyOriginHeaders
      return isPreflight(request) ? preflight : null
    }
    if (needsToken || isFromOwnPage(request, origin)) {
      headers.passedBy = policy
      return null
    }
    if (isPage && isFollowedLink(request, origin)) return null
    throw forbiddenOrigin(origin)
  }

  function checkForAnyOrigin(request: HttpRequest, context: Lined): null {
    context.extraHeaders = anyOriginHeaders
    requireOwnHost(request)
    return null
  }

  return ({ isPage = false, api }) => {
    if (api?.anyOrigin) return checkForAnyOrigin
    return needsToken && corsOrigins.length === 0
      ? null
      : (request, context) => check(request, context, isPage)
  }
}

/** Whether no page sent it, or one of this server. */
function isFromOwnPage(request: HttpRequest, origin: string | null): boolean {
  const site = request.header('sec-fetch-site')
  if (site !== null && site !== 'none' && site !== 'same-origin') return false
  return origin === null || origin.toLowerCase() === ownOrigin(request)
}

/** Of the address that the client used: a forwarded port is no other origin. */
function ownOrigin(request: HttpRequest): string | null {
  const host = request.header('host')
  return host === null ? null : `http://${host.toLowerCase().replace(/:80$/, '')}`
}

/** Whether somebody went to the page in a tab of their own, from wherever the link is. */
function isFollowedLink(request: HttpRequest, origin: string | null): boolean {
  return (
    origin === null &&
    (request.method === 'GET' || request.method === 'HEAD') &&
    request.header('sec-fetch-mode') === 'navigate' &&
    request.header('sec-fetch-dest') === 'document'
  )
}

function isPreflight(request: HttpRequest): boolean {
  return request.method === 'OPTIONS' && request.header('access-control-request-method') !== null
}

/** Whether a Host is this server's. Clients send the same ones again and again: the last that was is remembered. */
function hostCheck(hostNames: readonly string[]): (host: string) => boolean {
  const names = new Set(['localhost', ...hostNames])
  let lastOwn = ''
  return (host) => {
    if (host === lastOwn) return true
    const name = hostName(host)
    if (name === null || (!names.has(name) && isIP(name) === 0)) return false
    lastOwn = host
    return true
  }
}

/** In lower case, without port, brackets and the dot at the end; null for what is no Host. */
function hostName(host: string): string | null {
  const [, address, name] = /^(?:\[([0-9a-f:.]+)\]|([^:[\]]+))(?::\d{0,5})?$/i.exec(host) ?? []
  if (address !== undefined) return address
  return name?.toLowerCase().replace(/\.$/, '') ?? null
}

const maxShown = 200

function forbiddenOrigin(origin: string | null): KvistError {
  const shown = origin === null ? 'another origin' : `the origin ${origin.slice(0, maxShown)}`
  return new KvistError(
    'forbidden_origin',
    `web pages of ${shown} may not use this server; --cors-origin ORIGIN allows those of an origin`,
  )
}

function misdirected(host: string): KvistError {
  return new KvistError(
    'misdirected',
    `this server is not known as ${JSON.stringify(host.slice(0, maxShown))}; --allowed-host NAME makes a name its own`,
  )
}

/** A response with the CORS headers of its request. */
export function withExtraHeaders(response: HttpResponse, { extraHeaders }: Lined): HttpResponse {
  if (extraHeaders === '') return response
  const { headerBlock } = response
  const varies = extraHeaders.endsWith(varyHeader) && headerBlock.includes('Vary: ')
  if (!varies) return { ...response, headerBlock: headerBlock + extraHeaders }
  return {
    ...response,
    headerBlock: headerBlock.replace('Vary: ', 'Vary: Origin, ') + extraHeaders.slice(0, -varyHeader.length),
  }
}
