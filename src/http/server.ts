import { bearerCheck } from '../auth/token.ts'
import { KvistError } from '../core/errors.ts'
import type { ConnectionGroup } from '../net/connections.ts'
import { openListener } from '../net/listener.ts'
import { type Sockets, startSockets } from '../net/sockets.ts'
import { type Answer, answer } from './answer.ts'
import { refusedBits, refuseHeaders } from './binding-headers.ts'
import { type Handler, type Observe, observed } from './observed.ts'
import { type OriginCheck, originPolicy } from './origin-policy.ts'
import { routedPath } from './path.ts'
import { methodNotAllowed, problemAnswer } from './problem.ts'
import { requestId, requestIdHeader } from './request-id.ts'
import { type Api, methods, type Route } from './route.ts'
import { type Match, routerOf } from './router.ts'
import { HttpConnection, type HttpServerState } from './wire/connection.ts'
import type { HttpRequest } from './wire/request.ts'
import { wholeText } from './wire/response-writer.ts'

export interface HttpOptions {
  readonly host: string
  readonly port: number
  readonly idleTimeoutSeconds: number
  readonly token: string | null
  /** See `OriginOptions`. */
  readonly hostNames?: readonly string[]
  readonly corsOrigins?: readonly string[]
  readonly routes: readonly Route[]
  /** Hears of errors that are kvist's fault, not the client's, with what a log should say of the request. */
  readonly onError: (error: unknown, about?: Readonly<Record<string, unknown>>) => void
  readonly observe: Observe
  /** Missing: the server has its own. */
  readonly sockets?: Sockets
}

export interface HttpServer {
  readonly url: string
  /** Requests that are not answered to their end yet. */
  openRequests(): number
  readonly connections: Readonly<ConnectionGroup>
  /**
   * Takes no more connections, ends answers that last, lets what else is in flight finish within the time, then cuts
   * what is left.
   */
  stop(timeoutMs: number): Promise<void>
}

/** Serves the rows at once. Throws where the port cannot be had. */
export function listen(options: HttpOptions): HttpServer {
  const { host, idleTimeoutSeconds, onError } = options
  const { registry, ticks } = options.sockets ?? startSockets(onError)
  const handlerOf = handlersOf(options)
  const state: HttpServerState = {
    timeoutSeconds: idleTimeoutSeconds,
    clock: registry,
    ticks,
    isStopping: false,
    openRequests: 0,
    prefetch(request) {
      request.handler = handlerOf(request)
      request.handler.foresee?.(request)
    },
    serve: (request, connection) => (request.handler ?? handlerOf(request)).serve(request, connection),
    refuse: ({ status, code, detail }) => problemAnswer(new KvistError(code, detail), {}, { status }),
    reportError: (error, request) => report(error, request, onError),
  }
  const listener = openListener({
    hostname: host,
    port: options.port,
    clients: 'HTTP clients',
    registry,
    connect: (socket) => new HttpConnection(state, socket),
    rejection: () => wholeText(problemAnswer(tooManyConnections(), { 'Retry-After': '1' })),
    onError,
  })
  return {
    url: `http://${listener.address}`,
    openRequests: () => state.openRequests,
    connections: listener.connections,
    stop(timeoutMs) {
      state.isStopping = true
      return listener.stop(timeoutMs)
    },
  }
}

function tooManyConnections(): KvistError {
  return new KvistError('busy', 'there are too many connections; none of them is idle')
}

/** What finds the handler of any request, and tells the request of its parameters. */
function handlersOf(options: HttpOptions): (request: HttpRequest) => Handler {
  const { routes, observe } = options
  const { hostNames = [], corsOrigins = [] } = options
  const originCheckOf = originPolicy({ needsToken: options.token !== null, hostNames, corsOrigins })
  const router = routerOf(routes, (route): Handler => {
    const { foresee = null } = route
    return {
      serve: observed(
        checked(originCheckOf(route), routeHandler(route, options)),
        observe(route),
        recovery(route.api, options),
      ),
      foresee,
    }
  })
  const nothing = unroutedHandler(options)
  const observer = observe(null)
  const apis = [...new Set(routes.map(({ api }) => api))]
  const unrouted = ({ path }: HttpRequest, match: Match<Handler> | null): Handler => {
    const first = routes.find((route) => route.path === match?.place.pattern)
    const api = first === undefined ? apiOf(path, apis) : first.api
    return {
      serve: observed(
        checked(originCheckOf({ api }), (request) => nothing(request, match, api)),
        observer,
        recovery(api, options),
      ),
      foresee: null,
    }
  }
  return (request) => {
    const match = router.match(routedPath(request.path))
    const methods = match?.place.methods
    const handler =
      methods?.get(request.method) ?? (request.method === 'HEAD' ? methods?.get('GET') : undefined)
    if (match === null || handler === undefined) return unrouted(request, match)
    request.setParameters(match.place.names, match.values)
    return handler
  }
}

/** What a handler does once the web page that may have sent the request is known to be allowed to. */
function checked(check: OriginCheck | null, handle: Route['handle']): Route['handle'] {
  if (check === null) return handle
  return (request, connection) => check(request) ?? handle(request, connection)
}

function routeHandler(route: Route, { token }: HttpOptions): Route['handle'] {
  const { handle } = route
  const refused = refusedBits(route)
  const mayEnter = token === null || route.open ? null : bearerCheck(token)
  return (request, connection) => {
    if (mayEnter !== null && !mayEnter(request.header('authorization'))) throw unauthorized()
    if ((request.present & refused) !== 0) refuseHeaders(request, refused)
    return handle(request, connection)
  }
}

function recovery(
  api: Api | undefined,
  { onError }: HttpOptions,
): (error: unknown, request: HttpRequest) => Answer {
  return (error, request) => answerError(error, request, api, onError)
}

function unauthorized(): KvistError {
  return new KvistError('unauthorized', 'this server wants a token: Authorization: Bearer …')
}

/** Codes that mean that something is wrong with the server. */
const ownFaults = new Set(['storage_failed', 'storage_full', 'busy'])

function answerError(
  error: unknown,
  request: HttpRequest,
  api: Api | undefined,
  onError: HttpOptions['onError'],
): Answer {
  if (isGone(error)) return answer(clientGone)
  const id = report(error, request, onError)
  if (id === null) return problemAnswer(error, {}, {}, api?.refuse)
  return problemAnswer(error, { [requestIdHeader]: id }, { request_id: id }, api?.refuse)
}

/** Tells of an error that is kvist's own fault; the name that the request has in the log then, or null. */
function report(error: unknown, request: HttpRequest, onError: HttpOptions['onError']): string | null {
  if (error instanceof KvistError ? !ownFaults.has(error.code) : isGone(error)) return null
  const id = requestId(request)
  onError(error, { request_id: id, method: request.method, path: request.path })
  return id
}

/** Nobody reads this answer; the metrics and the access log have what others call it. */
const clientGone = 499

/** The client went away with its request half sent, or was too slow: nobody's fault, and nobody reads the answer. */
function isGone(error: unknown): boolean {
  return error instanceof Error && error.name === 'AbortError'
}

const allMethods = ['HEAD', ...methods].join(', ')

/** What no route took: a path that is not there, or one that has other methods. */
function unroutedHandler({
  token,
}: HttpOptions): (request: HttpRequest, match: Match<Handler> | null, api: Api | undefined) => Answer {
  const mayEnter = token === null ? null : bearerCheck(token)
  return (request, match, api) => {
    const { method, path } = request
    // Only OPTIONS can ask for the server as a whole (RFC 9110, 9.3.7).
    if (path === '*') return answer(204, { Allow: allMethods })
    if (mayEnter !== null && !mayEnter(request.header('authorization'))) {
      return problemAnswer(unauthorized(), {}, {}, api?.refuse)
    }
    if (match === null) {
      const nothing = new KvistError('not_found', `there is nothing at ${path.slice(0, 200)}`)
      return problemAnswer(nothing, {}, {}, api?.refuse)
    }
    const allowed = new Set(match.place.methods.keys())
    if (allowed.has('GET')) allowed.add('HEAD')
    return methodNotAllowed(method, [...allowed], api?.refuse)
  }
}

/** The API in whose mount an unknown path lies. */
function apiOf(path: string, apis: readonly (Api | undefined)[]): Api | undefined {
  return apis.find((api) => api !== undefined && `${path}/`.startsWith(`${api.mount}/`))
}
