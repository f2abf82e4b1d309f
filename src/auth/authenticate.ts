import { createHash, timingSafeEqual } from 'node:crypto'
import { anyone, type Principal, root, unauthenticated } from './principal.ts'
import { isToken, type TokenRegistry } from './tokens.ts'

export interface AuthenticatorOptions {
  /** The server's own token; null for a server that needs none. */
  readonly token: string | null
  readonly tokens: TokenRegistry
  /** Called when a use of a token is to be recorded. */
  readonly onUse: (principal: Principal, nowMs: number) => void
}

/** Finds the principal of a request, by its credentials. */
export interface Authenticator {
  /** The principal of an Authorization header with a bearer token (RFC 6750), or of none. */
  byHeader(authorization: string | null, now: () => number): Principal
  /** The principal of a client with a verified certificate that sends no credentials. */
  bySubject(subject: string, nowMs: number): Principal
  byToken(token: string, nowMs: number): Principal
  /** The principal that had this id when it was last here; null if it may do nothing any more. */
  byId(id: string, nowMs: number): Principal | null
  /** The principal of a request without credentials. */
  readonly stranger: Principal
  /** Calls the listener with each principal whose token was revoked or has expired. */
  onEnd(listener: (principal: Principal) => void): void
}

/** A header whose principal is remembered, so that a client's second request hashes nothing. */
interface Known {
  readonly principal: Principal
  /** When it was found; later or earlier than that, by a clock that went back, it is looked for again. */
  readonly fromMs: number
  readonly untilMs: number
}

const maxKnown = 4096
/** Principals are not remembered for longer, so that the last use of a token is noticed. */
const knownMs = 60_000

export function authenticator({ token, tokens, onUse }: AuthenticatorOptions): Authenticator {
  const expected = token === null ? null : digest(token)
  const stranger = token === null ? anyone : unauthenticated
  const known = new Map<string, Known>()
  tokens.onChange(() => known.clear())

  function byToken(given: string, nowMs: number): Principal {
    // Digests have equal length, and `timingSafeEqual` takes the same time wherever they differ.
    if (expected !== null && timingSafeEqual(digest(given), expected)) return root
    if (!isToken(given)) return stranger
    const principal = tokens.find(given, nowMs)
    if (principal === null) return unauthenticated
    if (tokens.isNewUse(principal.id, nowMs)) onUse(principal, nowMs)
    return principal
  }

  function find(authorization: string, nowMs: number): Principal {
    const given = /^Bearer +(\S+)$/i.exec(authorization)?.[1]
    if (given === undefined) return stranger
    const principal = byToken(given, nowMs)
    // Others could fill the memory with headers that mean nothing.
    if (principal === unauthenticated || principal === stranger) return principal
    if (known.size >= maxKnown) known.clear()
    const untilMs = Math.min(nowMs + knownMs, principal.expiresAtMs ?? Number.POSITIVE_INFINITY)
    known.set(authorization, { principal, fromMs: nowMs, untilMs })
    return principal
  }

  return {
    stranger,
    byToken,
    byId(id, nowMs) {
      if (id === root.id && expected !== null) return root
      return id === anyone.id && stranger === anyone ? anyone : tokens.principalOf(id, nowMs)
    },
    bySubject(subject, nowMs) {
      const principal = tokens.findSubject(subject, nowMs)
      if (principal === null) return stranger
      if (tokens.isNewUse(principal.id, nowMs)) onUse(principal, nowMs)
      return principal
    },
    byHeader(authorization, now) {
      if (authorization === null) return stranger
      const before = known.get(authorization)
      if (before === undefined) return find(authorization, now())
      if (before.principal === root) return root
      const nowMs = now()
      return before.fromMs <= nowMs && nowMs < before.untilMs ? before.principal : find(authorization, nowMs)
    },
    onEnd(listener) {
      tokens.onChange((ended) => {
        if (ended !== null) listener(ended)
      })
    },
  }
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
