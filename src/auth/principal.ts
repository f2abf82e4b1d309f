import type { Grant } from '../core/grants.ts'
import { everythingPermitted, type Permits, permitsOf, type Viewer } from '../core/permits.ts'
import type { RateLimit } from '../core/rate-limit.ts'

/** The sender of a request. */
export interface Principal extends Viewer {
  readonly isAuthenticated: boolean
  readonly grants: readonly Grant[]
  /** From then on it may do nothing; null for never. */
  readonly expiresAtMs: number | null
  /** Its own rate of requests; null for that of the server. */
  readonly rateLimit: RateLimit | null
}

const allGrants: readonly Grant[] = [
  { collections: '*', keyPrefix: '', can: ['read', 'write', 'admin', 'replicate'] },
]

function fixed(name: string, grants: readonly Grant[], permits: Permits): Principal {
  return {
    id: name,
    name,
    isAuthenticated: grants.length > 0,
    grants,
    permits,
    expiresAtMs: null,
    rateLimit: null,
  }
}

/** The sender of any request to a server without a token. */
export const anyone = fixed('anyone', allGrants, everythingPermitted)

/** The sender of a request with the server's own token. */
export const root = fixed('root', allGrants, everythingPermitted)

/** The sender of a request without a valid token, to a server that needs one. */
export const unauthenticated = fixed('unauthenticated', [], permitsOf([]))

/** Returns the id of the token by which a principal was recognised; null for a client without a valid token. */
export function tokenIdOf(principal: Principal): string | null {
  return principal === anyone || principal === unauthenticated ? null : principal.id
}
