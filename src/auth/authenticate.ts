import { createHash, timingSafeEqual } from 'node:crypto'

/** What a request needs: `open` is for anyone who can reach the server, also without a token. */
export type Access = 'open' | 'read' | 'write' | 'admin'

/** Who sends a request. */
export interface Principal {
  readonly name: string
  readonly may: 'everything' | 'what is open'
}

/** Who sends to a server that needs no token. */
export const anyone: Principal = { name: 'anyone', may: 'everything' }

/** Who has the server's one token. */
const root: Principal = { name: 'root', may: 'everything' }

/** Who brings no token, or a wrong one, to a server that needs one. */
export const unauthenticated: Principal = { name: 'unauthenticated', may: 'what is open' }

/** Whether a principal may do what needs this access. */
export function isAuthorized(principal: Principal, access: Access): boolean {
  return access === 'open' || principal.may === 'everything'
}

/** Finds out who sends something, by what they prove it with. */
interface Authenticator {
  /** The principal of an Authorization header with a bearer token (RFC 6750), or of none. */
  byHeader(authorization: string | null): Principal
  byToken(token: string): Principal
}

/** Of a server with one token. */
export function authenticator(token: string): Authenticator {
  const expected = digest(token)
  // Digests are of one length, and comparing them takes the same time wherever they differ.
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
