import { createHash, timingSafeEqual } from 'node:crypto'

/** The permission that a request needs; `open` needs no token. */
export type Access = 'open' | 'read' | 'write' | 'admin'

/** The sender of a request. */
export interface Principal {
  readonly name: string
  readonly may: 'everything' | 'what is open'
}

/** The sender of any request to a server without a token. */
export const anyone: Principal = { name: 'anyone', may: 'everything' }

/** The sender of a request with the server's token. */
const root: Principal = { name: 'root', may: 'everything' }

/** The sender of a request without the token that the server needs. */
export const unauthenticated: Principal = { name: 'unauthenticated', may: 'what is open' }

/** Returns the id of the token by which a principal was recognised; null for a client without a valid token. */
export function tokenIdOf(principal: Principal): string | null {
  return principal === root ? root.name : null
}

/** Whether a principal has this permission. */
export function isAuthorized(principal: Principal, access: Access): boolean {
  return access === 'open' || principal.may === 'everything'
}

/** Returns the principal of a request, by its credentials. */
interface Authenticator {
  /** The principal of an Authorization header with a bearer token (RFC 6750), or of none. */
  byHeader(authorization: string | null): Principal
  byToken(token: string): Principal
}

/** Returns the authenticator of a server with one token. */
export function authenticator(token: string): Authenticator {
  const expected = digest(token)
  // Digests have equal length, and `timingSafeEqual` takes the same time wherever they differ.
  const byToken = (given: string) => (timingSafeEqual(digest(given), expected) ? root : unauthenticated)
  return {
    byToken,
    byHeader(authorization) {
      const given = /^Bearer +(\S+)$/i.exec(authorization ?? '')?.[1]
      return given === undefined ? unauthenticated : byToken(given)
    },
  }
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
