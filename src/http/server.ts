import { bearerCheck } from '../auth/token.ts'
import { KvistError } from '../core/errors.ts'
import { type Connections, RequestConnection } from './connection.ts'
import { countConnections } from './connections.ts'
import { type Handler, type Observe, observed } from './observed.ts'
import { pathOf } from './path.ts'
import { methodNotAllowed, problemResponse } from './problem.ts'
import { requestId, requestIdHeader } from './request-id.ts'
import { type Api, type Method, methods, type Route } from './route.ts'

export interface HttpOptions {
  readonly host: string
  readonly port: number
  readonly idleTimeoutSeconds: number
  readonly token: string | null
  readonly routes: readonly Route[]
  /** Hears of errors that are kvist's fault, not the client's, with what a log should say of the request. */
  readonly onError: (error: unknown, about?: Readonly<Record<string, unknown>>) => void
  readonly observe: Observe
}

export interface HttpServer {
  readonly url: string
  /** Requests that are not answered to their end yet. */
  openRequests(): number
  /** Connections of clients; null where the system does not tell. */
  openConnections(): Promise<number | null>
  /**
   * Takes no more connections, ends answers that last, lets what else is in flight finish within the time, then cuts
   * what is left.
   */
  stop(timeoutMs: number): Promise<void>
}

export function listen(options: HttpOptions): HttpServer {
  const unrouted = observed(unroutedHandler(options), options.observe(null), recovery(undefined, options))
  const connections: Connections = {
    timeoutSeconds: timerSeconds(options.idleTimeoutSeconds),
    lasting: new Set(),
    isStopping: false,
    report: (error, request) => report(error, request, options.onError),
  }
  const server = Bun.serve({
    hostname: options.host,
    port: options.port,
    // Off, Bun would let two servers share a port, and answer errors with pages that show the source.
    development: false,
    reusePort: false,
    idleTimeout: connections.timeoutSeconds,
    // Bodies are bounded where they are read: an import has no bound.
    maxRequestBodySize: Number.MAX_SAFE_INTEGER,
    routes: routeTable(options, connections, unrouted),
    fetch: unrouted,
    error: (error) => {
      if (!isGone(error)) options.onError(error)
      return problemResponse(error)
    },
  })
  return {
    url: server.url.origin,
    openRequests: () => server.pendingRequests,
    openConnections: () => countConnections(server.port ?? 0),
    async stop(timeoutMs) {
      connections.isStopping = true
      const finished = server.stop()
      for (const answer of connections.lasting) answer.end()
      const unread = connections.lasting.size > 0 ? [allButUnread(server, connections)] : []
      await Promise.race([finished, ...unread, Bun.sleep(timeoutMs)])
      await server.stop(true)
    },
  }
}

const lookAgainMs = 10

/** Waits until nothing is left but answers that were ended and that their clients do not take the rest of. */
async function allButUnread(server: Bun.Server<undefined>, { lasting }: Connections): Promise<void> {
  while (server.pendingRequests > lasting.size) await Bun.sleep(lookAgainMs)
}

/**
 * Bun's timers go off at ticks of four seconds: one of a second goes off somewhere within the next four. A tick more,
 * and nobody is cut before the time that was promised.
 */
function timerSeconds(idleTimeoutSeconds: number): number {
  return Math.min(idleTimeoutSeconds + 4, 255)
}

function routeTable(
  options: HttpOptions,
  connections: Connections,
  unrouted: Handler<Request>,
): Record<string, Partial<Record<Method, Handler>>> {
  const table: Record<string, Partial<Record<Method, Handler>>> = {}
  for (const route of options.routes) {
    table[route.path] ??= Object.fromEntries(methods.map((method) => [method, unrouted]))
    table[route.path]![route.method] = observed(
      handlerOf(route, options, connections),
      options.observe(route),
      recovery(route.api, options),
    )
  }
  return table
}

function handlerOf(route: Route, { token }: HttpOptions, connections: Connections): Handler {
  const { handle } = route
  const mayEnter = token === null || route.open ? null : bearerCheck(token)
  return (request, server) => {
    if (mayEnter !== null && !mayEnter(request.headers.get('authorization'))) throw unauthorized()
    return handle(request, new RequestConnection(request, server, connections))
  }
}

function recovery(
  api: Api | undefined,
  { onError }: HttpOptions,
): (error: unknown, request: Request) => Response {
  return (error, request) => answerError(error, request, api, onError)
}

function unauthorized(): KvistError {
  return new KvistError('unauthorized', 'this server wants a token: Authorization: Bearer …')
}

/** Codes that mean that something is wrong with the server. */
const ownFaults = new Set(['storage_failed', 'storage_full', 'busy'])

function answerError(
  error: unknown,
  request: Request,
  api: Api | undefined,
  onError: HttpOptions['onError'],
): Response {
  if (isGone(error)) return new Response(null, { status: clientGone })
  const id = report(error, request, onError)
  if (id === null) return problemResponse(error, {}, {}, api?.refuse)
  return problemResponse(error, { [requestIdHeader]: id }, { request_id: id }, api?.refuse)
}

/** Tells of an error that is kvist's own fault; the name that the request has in the log then, or null. */
function report(error: unknown, request: Request, onError: HttpOptions['onError']): string | null {
  if (error instanceof KvistError ? !ownFaults.has(error.code) : isGone(error)) return null
  const id = requestId(request)
  onError(error, { request_id: id, method: request.method, path: pathOf(request.url) })
  return id
}

/** Nobody reads this answer; the metrics and the access log have what others call it. */
const clientGone = 499

/** The client went away with its request half sent, or was too slow: nobody's fault, and nobody reads the answer. */
function isGone(error: unknown): boolean {
  return error instanceof Error && error.name === 'AbortError'
}

/** What no route took: a path that is not there, or one that has other methods. */
function unroutedHandler({ routes, token }: HttpOptions): (request: Request) => Response {
  const mayEnter = token === null ? null : bearerCheck(token)
  const apis = [...new Set(routes.map(({ api }) => api))]
  return (request) => {
    const path = pathOf(request.url)
    const fitting = routes.filter((route) => matches(route.path, path))
    // A fixed path wins over one with parameters, and so does one that comes first.
    const first = fitting.find((route) => route.path === path) ?? fitting[0]
    const api = first === undefined ? apiOf(path, apis) : first.api
    if (mayEnter !== null && !mayEnter(request.headers.get('authorization')))
      return problemResponse(unauthorized(), {}, {}, api?.refuse)
    if (first === undefined) {
      const nothing = new KvistError('not_found', `there is nothing at ${path.slice(0, 200)}`)
      return problemResponse(nothing, {}, {}, api?.refuse)
    }
    const same = routes.filter((route) => route.path === first.path)
    const allowed = new Set<string>(same.map(({ method }) => method))
    if (allowed.has('GET')) allowed.add('HEAD')
    return methodNotAllowed(request.method, [...allowed], api?.refuse)
  }
}

/** The API in whose mount an unknown path lies. */
function apiOf(path: string, apis: readonly (Api | undefined)[]): Api | undefined {
  return apis.find((api) => api !== undefined && `${path}/`.startsWith(`${api.mount}/`))
}

/** Whether a path is one that a route's pattern stands for. Only the rest of a path may be empty. */
function matches(pattern: string, path: string): boolean {
  const wanted = pattern.split('/')
  const given = path.split('/')
  const open = wanted.at(-1) === '*'
  if (open ? given.length < wanted.length : given.length !== wanted.length) return false
  return wanted.every((segment, i) =>
    segment.startsWith(':') ? given[i] !== '' : segment === '*' || segment === given[i],
  )
}
