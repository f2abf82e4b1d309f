import { randomBytes } from 'node:crypto'
import type { MaybePromise } from '../core/engine.ts'
import { KvistError } from '../core/errors.ts'
import { maxTickets, maxTicketsOfOne, ticketMs } from '../core/limits.ts'
import type { Principal } from './principal.ts'

/**
 * Tickets stand in for a token where a client cannot send headers: an EventSource, or a download by a link. Each is for
 * one request to one path, within a minute. These are kept in memory alone, by this server; shared-tickets.ts has those of a store
 * with several.
 */
export interface Tickets {
  /** Returns a new ticket for this principal. Throws `busy` if too many wait to be used, of all or of this principal. */
  issue(principal: Principal, path: string, nowMs: number): MaybePromise<NewTicket>
  /** Returns the principal of a ticket for this path, which then is used up; null if it is not valid. */
  redeem(ticket: string, path: string, nowMs: number): MaybePromise<Principal | null>
  /** Makes the tickets of a principal invalid. */
  revoke(principal: Principal): void
}

export interface NewTicket {
  readonly ticket: string
  readonly expiresAtMs: number
}

/** `Tickets` that return at once. */
export interface LocalTickets extends Tickets {
  issue(principal: Principal, path: string, nowMs: number): NewTicket
  redeem(ticket: string, path: string, nowMs: number): Principal | null
}

interface Entry {
  readonly principal: Principal
  readonly expiresAtMs: number
}

/** Counts tickets that wait to be used, by the keys that they are kept under. */
export function ticketLimits() {
  /** The oldest first. */
  const entries = new Map<string, Entry>()
  const counts = new Map<Principal, number>()

  function remove(key: string): void {
    const entry = entries.get(key)
    if (entry === undefined) return
    entries.delete(key)
    const left = counts.get(entry.principal)! - 1
    if (left === 0) counts.delete(entry.principal)
    else counts.set(entry.principal, left)
  }

  function dropExpired(nowMs: number): void {
    for (const [key, { expiresAtMs }] of entries) {
      // A clock that went back must not keep tickets for ever.
      if (expiresAtMs > nowMs && expiresAtMs <= nowMs + ticketMs) return
      remove(key)
    }
  }

  function requireRoom(principal: Principal): void {
    if (entries.size >= maxTickets) {
      throw new KvistError('busy', `${maxTickets} tickets wait to be used`, { limit: maxTickets })
    }
    if ((counts.get(principal) ?? 0) < maxTicketsOfOne) return
    const detail = `${maxTicketsOfOne} tickets of ${JSON.stringify(principal.name)} wait to be used`
    throw new KvistError('busy', detail, { limit: maxTicketsOfOne })
  }

  return {
    remove,
    dropExpired,
    /** Throws `busy` if there are too many. */
    add(key: string, principal: Principal, nowMs: number): void {
      dropExpired(nowMs)
      requireRoom(principal)
      counts.set(principal, (counts.get(principal) ?? 0) + 1)
      entries.set(key, { principal, expiresAtMs: nowMs + ticketMs })
    },
    get: (key: string): Principal | null => entries.get(key)?.principal ?? null,
    keysOf: (principal: Principal): string[] =>
      [...entries].flatMap(([key, entry]) => (entry.principal === principal ? [key] : [])),
  }
}

export function tickets(): LocalTickets {
  const limits = ticketLimits()
  /** A ticket is for one path, and its key here has both. */
  const keyOf = (ticket: string, path: string) => `${ticket} ${path}`

  return {
    issue(principal, path, nowMs) {
      const ticket = randomBytes(32).toString('base64url')
      limits.add(keyOf(ticket, path), principal, nowMs)
      return { ticket, expiresAtMs: nowMs + ticketMs }
    },
    redeem(ticket, path, nowMs) {
      limits.dropExpired(nowMs)
      const key = keyOf(ticket, path)
      const principal = limits.get(key)
      if (principal === null) return null
      limits.remove(key)
      return isExpired(principal, nowMs) ? null : principal
    },
    revoke(principal) {
      for (const key of limits.keysOf(principal)) limits.remove(key)
    },
  }
}

function isExpired({ expiresAtMs }: Principal, nowMs: number): boolean {
  return expiresAtMs !== null && expiresAtMs <= nowMs
}
