import { type Access, requireAccess, unauthorized } from '../auth/access.ts'
import type { Authenticator } from '../auth/authenticate.ts'
import { type ClientLimits, type LimitCounts, limitCounts } from '../auth/client-limits.ts'
import type { Principal } from '../auth/principal.ts'
import { type Tickets, tickets } from '../auth/tickets.ts'
import type { MaybePromise } from '../core/engine.ts'
import { KvistError, serverFaults } from '../core/errors.ts'
import { maxPagesBytes, maxReceivingBytes, maxSendingBytes } from '../core/limits.ts'
import { MemoryBudget } from '../net/budget.ts'
import type { ConnectionGroup } from '../net/connections.ts'
import { openListener, type TlsSettings } from '../net/listener.ts'
import { type Sockets, startSockets } from '../net/sockets.ts'
import { refusedBits, refuseHeaders } from './binding-headers.ts'
import type { RequestContext } from './context.ts'
import { Http2Connection } from './h2/connection.ts'
import { instrumented, type Observe, type Serve, type ServeOptions } from './instrumented.ts'
import { loggedPath } from './logged-query.ts'
import { type OriginCheck, originPolicy } from './origin-policy.ts'
import { routedPath, takeParameter } from './path.ts'
import { methodNotAllowed, problemResponse } from './problem.ts'
import { rateCheck } from './rate-check.ts'
import { requestId, requestIdHeader } from './request-id.ts'
import { type Fields, responseOf } from './response.ts'
import { type Api, type Handled, isMemberRead, methods, type Route } from './route.ts'
import { type Match, routerOf } from './router.ts'
import { HttpConnection } from './wire/connection.ts'
import type { HttpRequest } from './wire/request.ts'
import type { ServerMemory } from './wire/request-memory.ts'
import type { HttpResponse } from './wire/response.ts'
import { wholeText } from './wire/response-writer.ts'
import type { HttpServerState } from './wire/server-state.ts'
import { startLinesBy } from './wire/writing.ts'

export interface HttpOptions extends ServeOptions {
  readonly host: string
  readonly port: number
  readonly idleTimeoutSeconds: number
  readonly authenticator: Authenticator
  /** Missing: there are none. */
  readonly tickets?: Tickets
  /** Credentials are passed on to another server, which checks them: here everyone is a stranger. */
  readonly passesCredentials?: true
  /** See `OriginOptions`. */
  readonly hostNames?: readonly string[]
  readonly corsOrigins?: readonly string[]
  /** Missing: without TLS. */
  readonly tls?: TlsSettings | undefined
  /** Clients with TLS may speak HTTP/2; missing: they may not. */
  readonly http2?: boolean
  readonly routes: readonly Route[]
  /** Called with errors that are kvist's fault, not the client's, and with log fields that describe the request. */
  readonly onError: (error: unknown, about?: Readonly<Record<string, unknown>>) => void
  readonly observe: Observe
  /** Missing: clients may send any number of requests, and wrong tokens. */
  readonly limits?: ClientLimits
  /** Called when a client speaks TLS to a server without it. */
  readonly onTlsClient?: (address: string) => void
  /** Missing: the server creates its own. */
  readonly sockets?: Sockets
  /** Missing: the budgets of limits.ts. */
  readonly memory?: ServerMemory
}

export interface HttpServer {
  readonly url: string
  /** The number of requests whose response is not complete yet. */
  openRequests(): number
  readonly connections: Readonly<ConnectionGroup>
  readonly limitCounts: Readonly<LimitCounts>
  /**
   * Accepts no more connections, ends long-lived responses, lets other requests finish within the time, then closes the
   * remaining connections.
   */
  stop(timeoutMs: number): Promise<void>
}

/** Starts serving the routes. Throws when the port cannot be bound. */
export function listen(options: HttpOptions): HttpServer {
  const { host, idleTimeoutSeconds, onError, tls } = options
  const { registry, ticks } = options.sockets ?? startSockets(onError)
  const counts = limitCounts()
  const handlerOf = handlersOf(options, counts)
  const state: HttpServerState = {
    timeoutSeconds: idleTimeoutSeconds,
    clock: registry,
    startLines: startLinesBy(options.now),
    ticks,
    memory: options.memory ?? requestMemory(),
    isStopping: false,
    openRequests: 0,
    serve: (request, connection) => handlerOf(request)(request, connection),
    refuse: ({ status, code, detail }) => problemResponse(new KvistError(code, detail), {}, { status }),
    onTlsClient: options.onTlsClient ?? (() => {}),
    reportError: (error, request) => report(error, request, onError),
  }
  const listener = openListener({
    hostname: host,
    port: options.port,
    clients: 'HTTP clients',
    registry,
    tls: tls && {
      ...tls,
      protocols: options.http2 ? ['h2', 'http/1.1'] : ['http/1.1'],
      plainTextResponse: () => wholeText(state.startLines, problemResponse(needsTls())),
    },
    connect: (socket, { subject, protocol }) =>
      protocol === 'h2'
        ? new Http2Connection(state, socket, subject)
        : new HttpConnection(state, socket, subject),
    rejection: () =>
      wholeText(state.startLines, problemResponse(tooManyConnections(), { 'Retry-After': '1' })),
    onError,
  })
  options.authenticator.onEnd((principal) => {
    for (const connection of registry.of(listener.connections)) {
      const requests = connection instanceof Http2Connection ? connection.requests : [connection]
      for (const request of requests) {
        if (request instanceof HttpConnection && request.identity === principal) request.endRequest()
      }
    }
  })
  return {
    url: `${tls === undefined ? 'http' : 'https'}://${listener.address}`,
    openRequests: () => state.openRequests,
    connections: listener.connections,
    limitCounts: counts,
    stop(timeoutMs) {
      state.isStopping = true
      return listener.stop(timeoutMs)
    },
  }
}

/** Returns the budgets of limits.ts, scaled by `share`. */
export function requestMemory(share = 1): ServerMemory {
  return {
    values: new MemoryBudget(maxSendingBytes * share),
    pages: new MemoryBudget(maxPagesBytes * share),
    bodies: new MemoryBudget(maxReceivingBytes * share),
  }
}

/** Returns the sum of the budgets' limits, in bytes. */
export function totalBytes({ values, pages, bodies }: ServerMemory): number {
  return values.limitBytes + pages.limitBytes + bodies.limitBytes
}

function tooManyConnections(): KvistError {
  return new KvistError('busy', 'there are too many connections; none of them is idle')
}

function needsTls(): KvistError {
  return new KvistError('invalid_request', 'this port speaks TLS: the URL begins with https://')
}

/** Returns a function that finds the handler of a request and sets the request's parameters. */
function handlersOf(options: HttpOptions, counts: LimitCounts): (request: HttpRequest) => Serve {
  const { routes, observe, authenticator, limits } = options
  const { hostNames = [], corsOrigins = [] } = options
  const originCheckOf = originPolicy({
    needsToken: !authenticator.stranger.isAuthenticated,
    asksForCertificate: options.tls?.source.identity.asksForCertificate ?? false,
    scheme: options.tls === undefined ? 'http' : 'https',
    hostNames,
    corsOrigins,
  })
  const wrong = wrongCredentials(limits, counts)
  const gate: Gate = {
    originCheckOf,
    authenticate: options.passesCredentials
      ? () => authenticator.stranger
      : authenticationBy(authenticator, options.tickets ?? tickets(), wrong),
    countRequest: limits === undefined ? null : rateCheck(limits, counts),
    unauthorized: unauthorizedBy(wrong),
  }
  const router = routerOf(routes, (route): Serve => {
    const handle = guarded(route, gate, refusingHeaders(route))
    return instrumented(handle, observe(route), recovery(route.api, options), options)
  })
  const observer = observe(null)
  const apis = [...new Set(routes.map(({ api }) => api))]
  const unrouted = ({ path }: HttpRequest, match: Match<Serve> | null): Serve => {
    const first = routes.find((route) => route.path === match?.endpoint.pattern)
    const api = first === undefined ? apiOf(path, apis) : first.api
    const access = path === '*' ? 'open' : 'token'
    const handle = guarded({ api, access }, gate, (request) => unroutedResponse(request, match, api))
    return instrumented(handle, observer, recovery(api, options), options)
  }
  return (request) => {
    const match = router.match(routedPath(request.path))
    const methods = match?.endpoint.methods
    const handler =
      methods?.get(request.method) ?? (request.method === 'HEAD' ? methods?.get('GET') : undefined)
    if (match === null || handler === undefined) return unrouted(request, match)
    request.setParameters(match.endpoint.names, match.values)
    return handler
  }
}

/** The part of a route that determines which requests it accepts. */
interface Guarded {
  readonly access: Access
  readonly api?: Api | undefined
  readonly isPage?: boolean
  readonly isUnlimited?: boolean
}

/** The checks of every request before its handler is called. */
interface Gate {
  readonly originCheckOf: (route: Guarded) => OriginCheck | null
  /** Returns a promise for a request with a ticket of a store with several servers. */
  readonly authenticate: (request: HttpRequest, context: RequestContext) => MaybePromise<Principal>
  /** Counts a request; throws `rate_limited` when it is too many. Null for a server without limits. */
  readonly countRequest: ((context: RequestContext) => void) | null
  /** Returns the error of a request without valid credentials. */
  readonly unauthorized: (context: RequestContext) => KvistError
}

/** A token or a ticket comes before the certificate of the connection, which a proxy may use for many clients. */
function authenticationBy(
  { byHeader, bySubject, stranger }: Authenticator,
  tickets: Tickets,
  wrong: WrongCredentials,
): Gate['authenticate'] {
  return (request, context) => {
    const { clock, connection } = context
    const authorization = request.header('authorization')
    if (authorization !== null) return byHeader(authorization, clock.now)
    if (request.query !== null && isTicketed(request)) {
      const accept = (principal: Principal | null): Principal => {
        if (principal !== null) return principal
        throw wrong(context, 'the ticket is not for this path, was used, or is older than a minute')
      }
      const principal = redeemed(request, tickets, clock.now())
      return principal instanceof Promise ? principal.then(accept) : accept(principal)
    }
    const { clientSubject } = connection
    return clientSubject === null ? stranger : bySubject(clientSubject, clock.now())
  }
}

/** Whether a request may have a ticket in place of a header. Paths of dialects may have such a parameter of their own. */
function isTicketed({ method, path, query }: HttpRequest): boolean {
  return (
    (method === 'GET' || method === 'HEAD') && path.startsWith('/v1') && /(?:^|&)ticket=/.test(query ?? '')
  )
}

/** Takes the ticket out of the query, so that no handler and no log sees it. Returns null if it is not valid. */
function redeemed(request: HttpRequest, tickets: Tickets, nowMs: number): MaybePromise<Principal | null> {
  const taken = takeParameter(request.query ?? '', 'ticket')
  request.query = taken?.rest ?? null
  return taken === null ? null : tickets.redeem(taken.value, request.path, nowMs)
}

/**
 * Wraps a handler in the checks of origin, rate and permission. They throw `forbidden_origin`, `misdirected`,
 * `rate_limited`, `unauthorized` and `forbidden`. What the origin check refuses is not counted: any web page could use
 * up the rate of the person who looks at it.
 */
function guarded(
  route: Guarded,
  { originCheckOf, authenticate, countRequest, unauthorized }: Gate,
  handle: Route['handle'],
): Route['handle'] {
  const check = originCheckOf(route)
  const { access } = route
  const count = route.isUnlimited ? null : countRequest
  function handleAs(principal: Principal, request: HttpRequest, context: RequestContext): Handled {
    context.principal = principal
    context.connection.identity = principal
    if (count !== null) count(context)
    if (!principal.isAuthenticated && access !== 'open') throw unauthorized(context)
    requireAccess(principal, access)
    return handle(request, context)
  }
  async function handleLater(found: Promise<Principal>, request: HttpRequest, context: RequestContext) {
    const handled = handleAs(await found, request, context)
    return isMemberRead(handled) ? handled.readAlone() : handled
  }
  return (request, context) => {
    const preflight = check === null ? null : check(request, context)
    if (preflight !== null) return preflight
    const principal = authenticate(request, context)
    return principal instanceof Promise
      ? handleLater(principal, request, context)
      : handleAs(principal, request, context)
  }
}

/**
 * Wraps a route's handler: refuses requests with a binding header that the route does not honour (binding-headers.ts).
 */
function refusingHeaders(route: Route): Route['handle'] {
  const { handle } = route
  const refused = refusedBits(route)
  return (request, context) => {
    if ((request.present & refused) !== 0) refuseHeaders(request, refused)
    return handle(request, context)
  }
}

function recovery(
  api: Api | undefined,
  { onError }: HttpOptions,
): (error: unknown, context: RequestContext) => HttpResponse {
  return (error, context) => {
    context.failure = error instanceof KvistError ? error.code : 'internal'
    return respondError(error, context.request, api, onError)
  }
}

/** Returns the error of a request with a token or ticket that is not valid. */
type WrongCredentials = (context: RequestContext, detail: string) => KvistError

/** Wrong credentials count against the network of their client. */
function wrongCredentials(limits: ClientLimits | undefined, counts: LimitCounts): WrongCredentials {
  return ({ connection }, detail) => limits?.wrongToken(connection.network, counts) ?? unauthorized(detail)
}

/** A request without a token is no try to guess one, and is not counted. */
function unauthorizedBy(wrong: WrongCredentials): Gate['unauthorized'] {
  return (context) => {
    if (context.request.header('authorization') !== null) {
      return wrong(context, 'the token is not valid: it is wrong, has expired or was revoked')
    }
    const { clientSubject } = context.connection
    return unauthorized(
      clientSubject === null
        ? 'this server needs a token: Authorization: Bearer …'
        : `nothing is granted to the certificate of ${clientSubject}, and no token was sent`,
    )
  }
}

function respondError(
  error: unknown,
  request: HttpRequest,
  api: Api | undefined,
  onError: HttpOptions['onError'],
): HttpResponse {
  if (isGone(error)) return responseOf(clientGone)
  if (error instanceof KvistError && error.code === 'not_leader') {
    return problemResponse(error, leaderFields(error, request), {}, api?.refuse)
  }
  const id = report(error, request, onError)
  if (id === null) return problemResponse(error, {}, {}, api?.refuse)
  return problemResponse(error, { [requestIdHeader]: id }, { request_id: id }, api?.refuse)
}

/** Returns the headers that send a client with the same request to the leader. */
function leaderFields({ extra }: KvistError, { path, query }: HttpRequest): Fields {
  const leader = String(extra.leader)
  return { Location: `${leader}${path}${query === null ? '' : `?${query}`}`, 'Kvist-Leader': leader }
}

/**
 * Reports an error that is kvist's own fault and returns the request's id in the log; returns null for other errors.
 */
function report(error: unknown, request: HttpRequest, onError: HttpOptions['onError']): string | null {
  if (error instanceof KvistError ? !serverFaults.includes(error.code) : isGone(error)) return null
  const id = requestId(request)
  onError(error, { request_id: id, method: request.method, path: loggedPath(request) })
  return id
}

/** The client is gone, so this response is not sent: metrics and access log count it under this common code. */
const clientGone = 499

/**
 * Whether the client disconnected or timed out in the middle of its request: not an error of the server, and no
 * response is sent.
 */
function isGone(error: unknown): boolean {
  return error instanceof Error && error.name === 'AbortError'
}

const allMethods = ['HEAD', ...methods].join(', ')

/** Returns the response to a request without a route: 404, 405 with the path's methods, or that of `OPTIONS *`. */
function unroutedResponse(
  { method, path }: HttpRequest,
  match: Match<Serve> | null,
  api: Api | undefined,
): HttpResponse {
  // Only OPTIONS can ask for the server as a whole (RFC 9110, 9.3.7).
  if (path === '*') return responseOf(204, { Allow: allMethods })
  if (match === null) {
    const nothing = new KvistError('not_found', `there is nothing at ${path.slice(0, 200)}`)
    return problemResponse(nothing, {}, {}, api?.refuse)
  }
  const allowed = new Set(match.endpoint.methods.keys())
  if (allowed.has('GET')) allowed.add('HEAD')
  return methodNotAllowed(method, [...allowed], api?.refuse)
}

/** Returns the API whose mount contains an unknown path. */
function apiOf(path: string, apis: readonly (Api | undefined)[]): Api | undefined {
  return apis.find((api) => api !== undefined && `${path}/`.startsWith(`${api.mount}/`))
}
