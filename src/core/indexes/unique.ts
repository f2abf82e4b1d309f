import type { Check, Engine, MemberRef } from '../engine.ts'
import { KvistError } from '../errors.ts'
import type { Index } from './definition.ts'
import { asDuplicate, isUniqueEntry } from './entries.ts'
import type { EntryChange, EntryChanges } from './entry-writes.ts'

/**
 * Unique indexes. An entry with unique values has no member's key in its own, so that a second one would be the same entry.
 * A commit that adds one checks that it does not exist: of two commits at once, the later one fails its check, is tried
 * again, and finds the entry of the first.
 *
 * What another node sends is stored although it breaks a unique index, since nodes would not agree otherwise; such a member
 * has an entry with its key.
 */

/** The member that has an entry that only one can have. */
interface Holder {
  readonly memberKey: string
  readonly revision: number
}

/** By the entry's collection and key. */
export type Holders = ReadonlyMap<string, Holder>

/** What makes a commit fail: a member has the values already. */
export interface UniqueConflict {
  readonly claim: EntryChange
  readonly holder: MemberRef
  /** The holder is a member that the commit itself writes. */
  readonly isWithin: boolean
}

export interface ResolvedChanges extends EntryChanges {
  readonly checks: Check[]
  readonly conflict: UniqueConflict | null
}

/** Whether it is of an entry that only one member can have. */
export function isUniqueChange({ index, entry }: EntryChange): boolean {
  return index.unique && isUniqueEntry(entry.key, index.on.length)
}

const idOf = ({ index, entry }: EntryChange) => `${index.entries}/${entry.key}`

/** Reads the entries whose holders decide about these changes. */
export async function readHolders(
  engine: Pick<Engine, 'readMany'>,
  { removed, added }: EntryChanges,
): Promise<Holders> {
  const asked = [...removed, ...added].filter(isUniqueChange)
  const entries = await engine.readMany(
    asked.map(({ index, entry, of }) => ({ collection: index.entries, key: entry.key, near: of })),
  )
  const holders = new Map<string, Holder>()
  for (const [i, found] of entries.entries()) {
    if (found === null) continue
    const memberKey = String(JSON.parse(String(found.value)))
    holders.set(idOf(asked[i]!), { memberKey, revision: found.revision })
  }
  return holders
}

export function holderOfEntry(holders: Holders, change: EntryChange): Holder | undefined {
  return holders.get(idOf(change))
}

export function concernsUnique({ removed, added }: EntryChanges): boolean {
  return removed.some(isUniqueChange) || added.some(isUniqueChange)
}

/** Returns the changes as they can be committed, with the checks that they need; or the first conflict. */
export function resolveUnique(changes: EntryChanges, holders: Holders): ResolvedChanges {
  const { removed, added } = changes
  const resolved: ResolvedChanges = { removed: [], added: [], checks: [], conflict: null }
  const released = new Map<string, string>()
  for (const change of removed) {
    const holder = isUniqueChange(change) ? holders.get(idOf(change)) : undefined
    const isOwn = !isUniqueChange(change) || holder?.memberKey === change.of.key
    resolved.removed.push(isOwn ? change : { ...change, entry: asDuplicate(change.entry, change.of.key) })
    if (isOwn && change.ifDone === undefined) released.set(idOf(change), change.of.key)
  }
  const claimed = new Map<string, MemberRef>()
  for (const change of added) {
    if (!isUniqueChange(change)) {
      resolved.added.push(change)
      continue
    }
    const id = idOf(change)
    const { index, entry, of } = change
    const holder = holders.get(id)
    const other = claimed.get(id) ?? holderOf(change, holder, released)
    if (other === null) {
      claimed.set(id, of)
      resolved.added.push(change)
      const revision = holder?.revision ?? null
      resolved.checks.push({ collection: index.entries, key: entry.key, revision, near: of })
    } else if (change.ifDone === undefined) {
      return { ...resolved, conflict: { claim: change, holder: other, isWithin: claimed.has(id) } }
    } else resolved.added.push({ ...change, entry: asDuplicate(entry, of.key) })
  }
  return resolved
}

/** Returns the member that has the values of a claim and keeps them; null for none. */
function holderOf(
  change: EntryChange,
  holder: Holder | undefined,
  released: ReadonlyMap<string, string>,
): MemberRef | null {
  if (holder === undefined || holder.memberKey === change.of.key) return null
  if (released.get(idOf(change)) === holder.memberKey) return null
  return { collection: change.of.collection, key: holder.memberKey }
}

/** The error of a write that would give a member the values of another one; `other` is null for who may not know it. */
export function notUnique(
  { collection, key }: MemberRef,
  { name, on }: Pick<Index, 'name' | 'on'>,
  other: MemberRef,
): KvistError {
  const fields = on.map(({ text }) => text)
  return new KvistError('not_unique', detailOf({ collection, key }, name, fields, other), {
    collection,
    key,
    index: name,
    on: fields,
    other: { collection: other.collection, key: other.key },
  })
}

function detailOf(
  { collection, key }: MemberRef,
  index: string,
  fields: readonly string[],
  other: MemberRef | null,
): string {
  const who = other === null ? 'another member' : `${other.collection}/${other.key}`
  return `${collection}/${key}: ${who} has the same ${fields.join(' and ')}, and index ${index} is unique`
}

/** Returns the error without the other member, for a client that may not read that. */
export function withoutOther(error: KvistError): KvistError {
  const { other: _, ...extra } = error.extra
  const { collection, key, index, on } = extra as {
    collection: string
    key: string
    index: string
    on: readonly string[]
  }
  return new KvistError('not_unique', detailOf({ collection, key }, index, on, null), extra)
}
