import { KvistError } from '../core/errors.ts'
import type { Capability } from '../core/grants.ts'
import { requireEverywhere, requireSomewhere } from '../core/permits.ts'
import type { Principal } from './principal.ts'

/**
 * What a request needs before its handler is called. `open`: nothing. `token`: a valid token. A capability: that it is
 * granted somewhere; on which members is checked by the store (core/restricted.ts). `read all`, `admin all`: that it is
 * granted on everything, for what concerns the whole store. `follow`: `read`, `replicate` and `admin` on everything,
 * because a follower gets the tokens, too.
 */
export type Access = 'open' | 'token' | Capability | 'read all' | 'admin all' | 'follow'

type Requirement = (principal: Principal) => void

const requirements: Record<Access, Requirement | null> = {
  open: null,
  token: null,
  read: (principal) => requireSomewhere(principal, 'read'),
  write: (principal) => requireSomewhere(principal, 'write'),
  admin: (principal) => requireSomewhere(principal, 'admin'),
  replicate: (principal) => requireSomewhere(principal, 'replicate'),
  'read all': (principal) => requireEverywhere(principal, 'read'),
  'admin all': (principal) => requireEverywhere(principal, 'admin'),
  follow(principal) {
    for (const capability of ['read', 'replicate', 'admin'] as const) requireEverywhere(principal, capability)
  },
}

/** Throws `forbidden` if the token of an authenticated principal does not grant the access. */
export function requireAccess(principal: Principal, access: Access): void {
  const requirement = requirements[access]
  if (requirement === null || principal.permits.isEverything) return
  requirement(principal)
}

/** Returns the error for a request without valid credentials. */
export function unauthorized(detail: string): KvistError {
  return new KvistError('unauthorized', detail)
}
