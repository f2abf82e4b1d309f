import { type Leadership, requireLeader } from '../core/leadership.ts'
import type { Route } from './route.ts'
import { headerBits } from './wire/head.ts'

/** Reads are of any node. */
const readMethods: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS'])

/** What changes something needs one of these. A POST that only reads needs `read`, or a token. */
const writeAccess: ReadonlySet<string> = new Set(['write', 'admin', 'admin all'])

/** Conditions on revisions are not for the leader (core/leadership.ts), and in a batch they are in the body. */
const conditions = headerBits(['if-match', 'if-none-match'])
const batchPath = '/v1/_batch'

/** Returns whether requests of a route go to the leader. What is said to a node itself does not. */
export function goesToLeader({ method, path, access }: Pick<Route, 'method' | 'path' | 'access'>): boolean {
  return !readMethods.has(method) && writeAccess.has(access) && !path.startsWith('/v1/_nodes/')
}

/**
 * Returns routes of which those that write refuse requests while another node takes writes, before the body is read. The
 * store refuses them too (core/leadership.ts); by then a large body would have been sent in vain.
 */
export function leaderRoutes(routes: readonly Route[], leadership: Leadership): Route[] {
  return routes.map((route) => {
    if (!goesToLeader(route) || route.path === batchPath) return route
    const { handle } = route
    return {
      ...route,
      handle(request, context) {
        if ((request.present & conditions) === 0) requireLeader(leadership)
        return handle(request, context)
      },
    }
  })
}
