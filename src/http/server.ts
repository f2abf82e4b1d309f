import { bearerCheck } from '../auth/token.ts'
import type { Maybe } from '../core/engine.ts'
import { KvistError } from '../core/errors.ts'
import { methodNotAllowed, problemResponse } from './problem.ts'
import type { Method, Route, RoutedRequest } from './route.ts'

export interface HttpOptions {
  readonly host: string
  readonly port: number
  readonly idleTimeoutSeconds: number
  readonly token: string | null
  readonly routes: readonly Route[]
  /** Hears of errors that are kvist's fault, not the client's. */
  readonly onError: (error: unknown) => void
}

export interface HttpServer {
  readonly url: string
  /** Takes no more connections, lets what is in flight finish within the time, then cuts what is left. */
  stop(timeoutMs: number): Promise<void>
}

type Handler = (request: RoutedRequest, server: Bun.Server<undefined>) => Maybe<Response>

export function listen(options: HttpOptions): HttpServer {
  const { routes } = options
  const server = Bun.serve({
    hostname: options.host,
    port: options.port,
    // Off, Bun would let two servers share a port, and answer errors with pages that show the source.
    development: false,
    reusePort: false,
    idleTimeout: options.idleTimeoutSeconds,
    // Bodies are bounded where they are read: an import has no bound.
    maxRequestBodySize: Number.MAX_SAFE_INTEGER,
    routes: routeTable(options),
    fetch: (request) => answerUnrouted(routes, request),
    error: (error) => answerError(error, options.onError),
  })
  return {
    url: server.url.origin,
    async stop(timeoutMs) {
      const finished = server.stop()
      await Promise.race([finished, Bun.sleep(timeoutMs)])
      await server.stop(true)
    },
  }
}

function routeTable(options: HttpOptions): Record<string, Partial<Record<Method, Handler>>> {
  const table: Record<string, Partial<Record<Method, Handler>>> = {}
  for (const route of options.routes) {
    table[route.path] = { ...table[route.path], [route.method]: handlerOf(route, options) }
  }
  return table
}

function handlerOf(route: Route, { token, idleTimeoutSeconds, onError }: HttpOptions): Handler {
  const { handle } = route
  const mayEnter = token === null || route.open ? null : bearerCheck(token)
  return (request, server) => {
    try {
      if (mayEnter !== null && !mayEnter(request.headers.get('authorization'))) throw unauthorized()
      const answer = handle(request, { renew: () => server.timeout(request, idleTimeoutSeconds) })
      return answer instanceof Promise ? answer.catch((error) => answerError(error, onError)) : answer
    } catch (error) {
      return answerError(error, onError)
    }
  }
}

function unauthorized(): KvistError {
  return new KvistError('unauthorized', 'this server wants a token: Authorization: Bearer …')
}

/** Codes that mean that something is wrong with the server. */
const ownFaults = new Set(['storage_failed', 'storage_full', 'busy'])

function answerError(error: unknown, onError: (error: unknown) => void): Response {
  if (!(error instanceof KvistError) || ownFaults.has(error.code)) onError(error)
  return problemResponse(error)
}

/** What no route took: a path that is not there, or one that has other methods. */
function answerUnrouted(routes: readonly Route[], request: Request): Response {
  const path = pathOf(request.url)
  const allowed = new Set<string>()
  for (const route of routes) {
    if (!matches(route.path, path)) continue
    allowed.add(route.method)
    if (route.method === 'GET') allowed.add('HEAD')
  }
  if (allowed.size > 0) return methodNotAllowed(request.method, [...allowed])
  return problemResponse(new KvistError('not_found', `there is nothing at ${path.slice(0, 200)}`))
}

function pathOf(url: string): string {
  const path = url.startsWith('/') ? url : url.slice(url.indexOf('/', url.indexOf('//') + 2))
  return path.split('?', 1)[0]!
}

/** Whether a path is one that a route's pattern stands for; a fixed segment wins over a parameter. */
function matches(pattern: string, path: string): boolean {
  const wanted = pattern.split('/')
  const given = path.split('/')
  const open = wanted.at(-1) === '*'
  if (open ? given.length < wanted.length : given.length !== wanted.length) return false
  return wanted.every((segment, i) => segment === '*' || segment.startsWith(':') || segment === given[i])
}
