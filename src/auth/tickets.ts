import { randomBytes } from 'node:crypto'
import { KvistError } from '../core/errors.ts'
import { maxTickets, ticketMs } from '../core/limits.ts'
import type { Principal } from './principal.ts'

/**
 * Tickets stand in for a token where a client cannot send headers: an EventSource, or a download by a link. Each is for
 * one request to one path, within a minute. They are kept in memory alone, by this server.
 */
export interface Tickets {
  /** Returns a new ticket for this principal. Throws `busy` if too many wait to be used. */
  issue(
    principal: Principal,
    path: string,
    nowMs: number,
  ): { readonly ticket: string; readonly expiresAtMs: number }
  /** Returns the principal of a ticket for this path, which then is used up; null if it is not valid. */
  redeem(ticket: string, path: string, nowMs: number): Principal | null
  /** Makes the tickets of a principal invalid. */
  revoke(principal: Principal): void
}

interface Entry {
  readonly principal: Principal
  readonly path: string
  readonly expiresAtMs: number
}

export function tickets(): Tickets {
  /** The oldest first. */
  const entries = new Map<string, Entry>()

  function dropExpired(nowMs: number): void {
    for (const [ticket, { expiresAtMs }] of entries) {
      // A clock that went back must not keep tickets for ever.
      if (expiresAtMs > nowMs && expiresAtMs <= nowMs + ticketMs) return
      entries.delete(ticket)
    }
  }

  return {
    issue(principal, path, nowMs) {
      dropExpired(nowMs)
      if (entries.size >= maxTickets) {
        throw new KvistError('busy', `${maxTickets} tickets wait to be used`, { limit: maxTickets })
      }
      const ticket = randomBytes(32).toString('base64url')
      const expiresAtMs = nowMs + ticketMs
      entries.set(ticket, { principal, path, expiresAtMs })
      return { ticket, expiresAtMs }
    },
    redeem(ticket, path, nowMs) {
      dropExpired(nowMs)
      const entry = entries.get(ticket)
      if (entry === undefined || entry.path !== path) return null
      entries.delete(ticket)
      const { expiresAtMs } = entry.principal
      return expiresAtMs !== null && expiresAtMs <= nowMs ? null : entry.principal
    },
    revoke(principal) {
      for (const [ticket, entry] of entries) if (entry.principal === principal) entries.delete(ticket)
    },
  }
}
