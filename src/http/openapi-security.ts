import type { ErrorCode } from '../core/errors.ts'
import { goesToLeader } from './leader-routes.ts'
import type { Route } from './route.ts'

/** Documents how clients show who they are, and the errors they get if that is not enough. */

type Json = Readonly<Record<string, unknown>>

export const securitySchemes: Json = {
  token: {
    type: 'http',
    scheme: 'bearer',
    bearerFormat: 'kvist_<id>_<secret>',
    description:
      "The server's own token, which may do everything, or one that was created (`POST /v1/_tokens`), which may do what its grants say: all else is 403 `forbidden`, and lists and feeds leave it out",
  },
  ticket: {
    type: 'apiKey',
    in: 'query',
    name: 'ticket',
    description:
      'For one GET of one path within a minute, in place of a token: for EventSource and links, which cannot send headers (`POST /v1/_tickets`)',
  },
}

const byToken: readonly Json[] = [{ token: [] }]
const byTokenOrTicket: readonly Json[] = [{ token: [] }, { ticket: [] }]
/** A server without a token of its own serves everybody, and knows tokens as well. */
const byNobody: readonly Json[] = [{}]

/** Returns the security of operations that have none of their own. */
export function usualSecurity(needsToken: boolean): readonly Json[] {
  return needsToken ? byToken : [...byNobody, ...byToken]
}

/** Returns the security of a route as a part of its operation: empty if it is the usual one. */
export function securityOf({ method, path, access }: Route, needsToken: boolean): Json {
  if (access === 'open') return { security: [] }
  const takesTickets = method === 'GET' && /^\/v1(\/|$)/.test(path)
  if (!takesTickets) return {}
  return { security: needsToken ? byTokenOrTicket : [...byNobody, ...byTokenOrTicket] }
}

/**
 * Returns the errors that are thrown before the handler is called: of tokens, on a server without one of its own also
 * those of the origin policy, and with `--rate-limit` those of clients that send too much.
 */
export function entranceCodes(route: Route, needsToken: boolean): readonly ErrorCode[] {
  const { access, isUnlimited } = route
  return [
    ...(goesToLeader(route) ? (['not_leader', 'read_only'] as const) : []),
    ...(needsToken && goesToLeader(route) ? (['misdirected'] as const) : []),
    ...(access === 'open' ? [] : (['unauthorized', 'forbidden'] as const)),
    ...(needsToken ? [] : (['forbidden_origin', 'misdirected'] as const)),
    ...(isUnlimited ? [] : (['rate_limited'] as const)),
  ]
}

/** What the codes mean, for APIs that have an error format of their own. */
export const entranceWords: Readonly<Partial<Record<ErrorCode, string>>> = {
  unauthorized: 'The token is missing or wrong',
  not_leader: 'The server follows another: `Location` names where to send the request',
  read_only: 'No server that takes writes is known',
  forbidden: 'The token does not grant it',
  forbidden_origin: 'A web page of an origin that may not use this server',
  misdirected:
    'The host name is not one of this server, or it follows another one, which has other revisions',
  rate_limited: 'The client sends too many requests, or wrong tokens',
}
