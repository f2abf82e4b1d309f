import type { Write } from '../core/engine.ts'
import type { Member } from '../core/member.ts'
import { contentAfter, itemOf } from './contents.ts'
import type { Item, ItemWrite } from './decide.ts'
import type { Port } from './port.ts'

/** A decision, and what is to be written for it to come true; null for nothing. */
export interface Change<Outcome> {
  readonly outcome: Outcome
  readonly write: ItemWrite | 'delete' | null
}

/** A decision that has come true. */
interface Changed<Outcome> {
  readonly outcome: Outcome
  /** The member as it was, and the time, when it was decided. */
  readonly found: Item | null
  readonly nowMs: number
  /** The new revision; 0 when nothing was written. */
  readonly revision: number
}

/** Has a command decided on the member of a key, and writes what follows from it. */
export async function change<Outcome>(
  { db, collection, durability }: Port,
  key: string,
  decide: (found: Item | null, nowMs: number) => Change<Outcome>,
): Promise<Changed<Outcome>> {
  let last: Omit<Changed<Outcome>, 'revision'> | undefined
  const written = await db.update(
    { collection, key },
    (member, nowMs) => {
      const found = member === null ? null : itemOf(member)
      const { outcome, write } = decide(found, nowMs)
      last = { outcome, found, nowMs }
      return write === null ? null : memberWrite(collection, key, write, member, found)
    },
    durability,
  )
  if (last === undefined) throw new Error('nothing was decided')
  return { ...last, revision: written?.revision ?? 0 }
}

function memberWrite(
  collection: string,
  key: string,
  write: ItemWrite | 'delete',
  member: Member | null,
  found: Item | null,
): Write {
  if (write === 'delete') return { op: 'delete', collection, key, ending: 'delete' }
  const { value, contentType } = contentAfter(write, member, found?.value ?? null)
  const { flags, expiresAtMs } = write
  return { op: 'put', collection, key, value, contentType, flags, expiresAtMs }
}
