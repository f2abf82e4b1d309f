import { createHash, randomBytes } from 'node:crypto'
import type { Delete, Durability, Put } from '../core/engine.ts'
import { KvistError } from '../core/errors.ts'
import { ticketMs } from '../core/limits.ts'
import { jsonContentType, type Member } from '../core/member.ts'
import type { Principal } from './principal.ts'
import { type Tickets, ticketLimits } from './tickets.ts'

/**
 * Tickets of a store with several servers: members of a collection of kvist's own, so that one that was made at one
 * server is good at each, once. Kept is a hash. Expired ones are swept as other members are.
 */

const ticketsCollection = '_tickets'

/** The part of the store that tickets use. */
export interface TicketStore {
  get(collection: string, key: string): Promise<Member | null> | Member | null
  write(writes: readonly (Put | Delete)[], durability: Durability): Promise<unknown>
  delete(
    collection: string,
    key: string,
    condition: { readonly ifMatch: readonly number[] },
  ): Promise<unknown>
}

interface StoredTicket {
  readonly path: string
  readonly principal: string
}

/** `principalOf` returns the principal with an id; null if it may do nothing any more. */
export function sharedTickets(
  store: TicketStore,
  principalOf: (id: string, nowMs: number) => Principal | null,
): Tickets {
  // Those that this server made in the last minute, used or not.
  const limits = ticketLimits()

  return {
    async issue(principal, path, nowMs) {
      const ticket = randomBytes(32).toString('base64url')
      const expiresAtMs = nowMs + ticketMs
      const key = keyOf(ticket)
      limits.add(key, principal, nowMs)
      const stored: StoredTicket = { path, principal: principal.id }
      const content = { value: JSON.stringify(stored), contentType: jsonContentType, flags: 0, expiresAtMs }
      await store.write([{ op: 'put', collection: ticketsCollection, key, ...content }], 'relaxed')
      return { ticket, expiresAtMs }
    },
    async redeem(ticket, path, nowMs) {
      const key = keyOf(ticket)
      const member = await store.get(ticketsCollection, key)
      if (member === null) return null
      const stored: StoredTicket = JSON.parse(String(member.value))
      if (stored.path !== path) return null
      try {
        await store.delete(ticketsCollection, key, { ifMatch: [member.revision] })
      } catch (error) {
        // Another request took it.
        if (error instanceof KvistError && error.code === 'precondition_failed') return null
        throw error
      }
      limits.remove(key)
      return principalOf(stored.principal, nowMs)
    },
    // A principal that has ended is found no more.
    revoke() {},
  }
}

function keyOf(ticket: string): string {
  return createHash('sha256').update(ticket).digest('base64url')
}
