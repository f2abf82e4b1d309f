import { numberAt } from '../json/increment.ts'
import type { Condition } from './condition.ts'
import type { AskedExpiry, Content, NewContent } from './content.ts'
import type { Delete, MemberRef, Put, Renew } from './engine.ts'
import { failingAt } from './errors.ts'
import type { Member } from './member.ts'
import { type Patch, patched } from './patch.ts'

interface OnMember extends MemberRef {
  /** Must hold of the member that is found. */
  readonly condition?: Condition | undefined
}

/** What a command can do to a member, as data: it may have to be done several times, if others write in between. */
export type Operation =
  | (OnMember & NewContent & { readonly op: 'put' })
  | (OnMember & { readonly op: 'delete' })
  | (OnMember & Increment & { readonly op: 'increment' })
  | (OnMember & { readonly op: 'patch'; readonly patch: Patch; readonly expiresAtMs: AskedExpiry })
  /** Gives the member another expiry, and leaves all else as it is, its revision too. */
  | (OnMember & { readonly op: 'touch'; readonly expiresAtMs: number | 'never' })
  | (OnMember & { readonly op: 'update'; readonly decide: Decide })

export interface Increment {
  /** A JSON pointer; empty for the value itself. */
  readonly path: string
  readonly by: number
  /** Of the member, where there is none yet that could be incremented. */
  readonly ifCreated?: { readonly expiresAtMs: AskedExpiry } | undefined
}

/**
 * What to write in place of the member that was found, at that time; null for nothing. It must have no effects that a
 * further call does not undo.
 */
export type Decide = (current: Member | null, nowMs: number) => NewPut | Delete | null

/** A put that is not transformed yet. */
export type NewPut = Omit<Put, 'expiresAtMs'> & Pick<NewContent, 'expiresAtMs'>

/** What an operation makes of the member that it found. */
export interface Resolved {
  readonly write: NewPut | Delete | Renew | null
  /** The content that the write changes; null for one that says all that is to be stored. */
  readonly base: Content | null
  /** Where the number of an increment is. */
  readonly path?: string
}

/** Whether what comes of an operation depends on the member that it finds. */
export function readsMember({ op, condition }: Operation): boolean {
  return condition !== undefined || (op !== 'put' && op !== 'delete')
}

/** What an operation comes to where `current` is found, null for no member. Throws the error for the client. */
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
      // A batch is of many members: what fails says of which.
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

/** One that asks for a condition has looked whether there is anything to delete. */
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

/** The number of an increment in what was stored, as JSON text; null where a process took it away. */
export function numberIn(write: Put, path: string): string | null {
  return typeof write.value === 'string' ? numberAt(write.value, path) : null
}
