import { isIP } from 'node:net'
import { KvistError } from '../core/errors.ts'
import type { RequestContext } from './context.ts'
import { headerBlockOf, responseOf } from './response.ts'
import type { Api } from './route.ts'
import type { HttpRequest } from './wire/request.ts'
import type { HttpResponse } from './wire/response.ts'

/**
 * Options of the policy on which web pages may use this server. Any page that is open in a browser can send requests to
 * 127.0.0.1. So a server without a token refuses requests of pages of another origin, which browsers mark with `Origin`
 * and `Sec-Fetch-Site`, and requests to a host name that is not its own: an attacker's name that resolves to this
 * machine (DNS rebinding) would give the attacker's pages the origin of this server. A server with a token needs no
 * such check, because other pages do not know the token. Pages of the origins in `corsOrigins` may use either, and read
 * the responses.
 */
export interface OriginOptions {
  readonly needsToken: boolean
  /**
   * Clients may be known by a certificate, which a browser presents for any page, so that the origin is checked even
   * where other pages know no token.
   */
  readonly asksForCertificate: boolean
  /** Of this server's own origin. */
  readonly scheme: Scheme
  /** Names of this server besides IP addresses and `localhost`, in lower case. */
  readonly hostNames: readonly string[]
  /** As browsers send them; `*` allows any origin. */
  readonly corsOrigins: readonly string[]
}

/**
 * Checks a request before it is handled, and sets the CORS headers of its response. Returns the response to a
 * preflight. Throws `forbidden_origin` and `misdirected`.
 */
export type OriginCheck = (request: HttpRequest, context: Lined) => HttpResponse | null

/** Receives the CORS headers of the response. */
type Lined = Pick<RequestContext, 'extraHeaders'>

/** The part of a route that determines which pages may send requests to it. */
interface Openness {
  readonly isPage?: boolean
  readonly api?: Api | undefined
}

/** Response headers that scripts may read besides those that CORS always exposes. */
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
  'RateLimit',
  'RateLimit-Policy',
  'Retry-After',
  'WWW-Authenticate',
  'X-Request-Id',
].join(', ')

/** Request headers that the API reads. `*` allows any other except Authorization. */
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
  // Chromium requires it when a public page uses a server of a private network.
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

/** Returns the check of each route; null for a route that needs none. */
export function originPolicy(options: OriginOptions): (route: Openness) => OriginCheck | null {
  const { needsToken, scheme, corsOrigins } = options
  const trustsPages = needsToken && !options.asksForCertificate
  const isServersOwn = hostCheck(options.hostNames)
  const allowsAny = corsOrigins.includes('*')
  const allowed = new Map(corsOrigins.map((origin) => [origin, corsHeaders(origin) + varyHeader]))
  /** For caches: a response without CORS headers must not be reused for an origin that needs them. */
  const usualHeaders = allowsAny ? anyOriginHeaders : allowed.size > 0 ? varyHeader : ''
  /** Identifies this policy in header blocks that have passed it (`HeaderBlock.passedBy`). */
  const policy = {}

  function requireOwnHost(request: HttpRequest): void {
    const host = request.header('host')
    // Browsers always send a Host.
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
    if (trustsPages || isFromOwnPage(request, origin, scheme)) {
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
    return trustsPages && corsOrigins.length === 0
      ? null
      : (request, context) => check(request, context, isPage)
  }
}

/** Whether the request comes from no page, or from a page of this server. */
function isFromOwnPage(request: HttpRequest, origin: string | null, scheme: Scheme): boolean {
  const site = request.header('sec-fetch-site')
  if (site !== null && site !== 'none' && site !== 'same-origin') return false
  return origin === null || origin.toLowerCase() === ownOrigin(request, scheme)
}

/** The default port of a scheme, which an origin leaves out and a Host may name. */
const defaultPort = { http: /:80$/, https: /:443$/ } as const
type Scheme = keyof typeof defaultPort

/** Returns the origin by the address that the client used, so that a forwarded port is not another origin. */
function ownOrigin(request: HttpRequest, scheme: Scheme): string | null {
  const host = request.header('host')
  return host === null ? null : `${scheme}://${host.toLowerCase().replace(defaultPort[scheme], '')}`
}

/** Whether the request is a navigation in a tab of its own, wherever the link was. */
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

/** Returns a check of whether a Host is this server's. It caches the last valid one, because clients repeat it. */
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

/** Returns the host in lower case, without port, brackets and final dot; null when malformed. */
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

/** Returns the response with the CORS headers of its request. */
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
