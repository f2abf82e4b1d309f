import { randomBytes } from 'node:crypto'
import { KvistError } from '../core/errors.ts'
import { maxTickets, maxTicketsOfOne, ticketMs } from '../core/limits.ts'
import type { Principal } from './principal.ts'

/**
 * Tickets stand in for a token where a client cannot send headers: an EventSource, or a download by a link. Each is for
 * one request to one path, within a minute. They are kept in memory alone, by this server.
 */
export interface Tickets {
  /** Returns a new ticket for this principal. Throws `busy` if too many wait to be used, of all or of this principal. */
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
  const counts = new Map<Principal, number>()

  function remove(ticket: string, { principal }: Entry): void {
    if (!entries.delete(ticket)) return
    const left = counts.get(principal)! - 1
    if (left === 0) counts.delete(principal)
    else counts.set(principal, left)
  }

  function requireRoom(principal: Principal): void {
    if (entries.size >= maxTickets) {
      throw new KvistError('busy', `${maxTickets} tickets wait to be used`, { limit: maxTickets })
    }
    if ((counts.get(principal) ?? 0) < maxTicketsOfOne) return
    const detail = `${maxTicketsOfOne} tickets of ${JSON.stringify(principal.name)} wait to be used`
    throw new KvistError('busy', detail, { limit: maxTicketsOfOne })
  }

  function dropExpired(nowMs: number): void {
    for (const [ticket, entry] of entries) {
      // A clock that went back must not keep tickets for ever.
      if (entry.expiresAtMs > nowMs && entry.expiresAtMs <= nowMs + ticketMs) return
      remove(ticket, entry)
    }
  }

  return {
    issue(principal, path, nowMs) {
      dropExpired(nowMs)
      requireRoom(principal)
      counts.set(principal, (counts.get(principal) ?? 0) + 1)
      const ticket = randomBytes(32).toString('base64url')
      const expiresAtMs = nowMs + ticketMs
      entries.set(ticket, { principal, path, expiresAtMs })
      return { ticket, expiresAtMs }
    },
    redeem(ticket, path, nowMs) {
      dropExpired(nowMs)
      const entry = entries.get(ticket)
      if (entry === undefined || entry.path !== path) return null
      remove(ticket, entry)
      const { expiresAtMs } = entry.principal
      return expiresAtMs !== null && expiresAtMs <= nowMs ? null : entry.principal
    },
    revoke(principal) {
      for (const [ticket, entry] of entries) if (entry.principal === principal) remove(ticket, entry)
    },
  }
}
