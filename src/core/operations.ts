import { numberAt } from '../json/increment.ts'
import type { Condition } from './condition.ts'
import type { AskedExpiry, Content, NewContent } from './content.ts'
import type { Delete, MemberRef, Put, Renew } from './engine.ts'
import { failingAt } from './errors.ts'
import type { Member } from './member.ts'
import { type Patch, patched } from './patch.ts'

interface OnMember extends MemberRef {
  /** The condition that the existing member must meet. */
  readonly condition?: Condition | undefined
}

/** One operation of a command, as data: it is resolved again whenever another write to the member comes in between. */
export type Operation =
  | (OnMember & NewContent & { readonly op: 'put' })
  | (OnMember & { readonly op: 'delete' })
  | (OnMember & Increment & { readonly op: 'increment' })
  | (OnMember & { readonly op: 'patch'; readonly patch: Patch; readonly expiresAtMs: AskedExpiry })
  /** Gives the member another expiry and leaves everything else, its revision included. */
  | (OnMember & { readonly op: 'touch'; readonly expiresAtMs: number | 'never' })
  | (OnMember & { readonly op: 'update'; readonly decide: Decide })

export interface Increment {
  /** A JSON pointer; empty for the value itself. */
  readonly path: string
  readonly by: number
  /** The expiry of the member if the increment creates it. */
  readonly ifCreated?: { readonly expiresAtMs: AskedExpiry } | undefined
}

/**
 * Returns the write that replaces the existing member at that time; null for none. It may be called again, so it must
 * have no effects that a further call does not undo.
 */
export type Decide = (current: Member | null, nowMs: number) => NewPut | Delete | null

/** A put before it is transformed. */
export type NewPut = Omit<Put, 'expiresAtMs'> & Pick<NewContent, 'expiresAtMs'>

/** An operation resolved against the existing member. */
export interface Resolved {
  readonly write: NewPut | Delete | Renew | null
  /** The content that the write modifies; null for a write that states all that is stored. */
  readonly base: Content | null
  /** The JSON pointer to the number of an increment. */
  readonly path?: string
}

/** Returns whether the outcome of an operation depends on the existing member. */
export function readsMember({ op, condition }: Operation): boolean {
  return condition !== undefined || (op !== 'put' && op !== 'delete')
}

/**
 * Returns whether an operation shows something of the stored value: an increment returns the number, a JSON patch tests
 * values and fails where something is missing, and an update is decided on the member. A merge patch does not.
 */
export function showsValue(operation: Operation): boolean {
  const { op } = operation
  return op === 'increment' || op === 'update' || (op === 'patch' && operation.patch.kind !== 'merge')
}

/** Resolves an operation against `current`, null for no member. Throws the error for the client. */
export function resolve(operation: Operation, current: Member | null, nowMs: number): Resolved {
  const { collection, key } = operation
  switch (operation.op) {
    case 'put': {
      const { value, contentType, flags, expiresAtMs } = operation
      return {
        write: { op: 'put', collection, key, value, contentType, flags, expiresAtMs },
        base: null,
      }
    }
    case 'delete':
      return { write: deletion(operation, current), base: null }
    case 'touch':
      return { write: renewal(operation, current), base: null }
    case 'increment': {
      const { path, by, ifCreated } = operation
      const work = () => patched(current, { kind: 'increment', path, by, ifCreated })
      // The operations of a batch are on many members: the error has to say which one failed.
      const content = failingAt(`${collection}/${key}`, { collection, key }, work)
      return { write: { op: 'put', collection, key, ...content }, base: current, path }
    }
    case 'patch': {
      const { patch, expiresAtMs } = operation
      const content = patched(current, patch)
      const write = { ...content, expiresAtMs: expiresAtMs ?? content.expiresAtMs }
      const path = patch.kind === 'increment' ? { path: patch.path } : {}
      return { write: { op: 'put', collection, key, ...write }, base: current, ...path }
    }
    case 'update':
      return { write: operation.decide(current, nowMs), base: current }
  }
}

/** Returns the delete, or null if a condition had the member read and there is none. */
function deletion({ collection, key, condition }: OnMember, current: Member | null): Delete | null {
  if (condition !== undefined && current === null) return null
  return { op: 'delete', collection, key, cause: 'delete' }
}

function renewal(
  { collection, key, expiresAtMs }: MemberRef & { readonly expiresAtMs: number | 'never' },
  current: Member | null,
): Renew | null {
  const expiry = expiresAtMs === 'never' ? null : expiresAtMs
  if (current === null || current.expiresAtMs === expiry) return null
  return { op: 'renew', collection, key, expiresAtMs: expiry, ifRevision: current.revision }
}

/** Returns the result of an increment from the stored value, as JSON text; null if a process removed it. */
export function numberIn(write: Put, path: string): string | null {
  return typeof write.value === 'string' ? numberAt(write.value, path) : null
}
