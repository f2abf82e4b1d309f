import type { Check, Commit, Delete, MemberRef, Put, Renew, Write } from '../engine.ts'
import { isExpired, jsonContentType, type Member, type Value } from '../member.ts'
import { refId } from '../plan.ts'
import type { Index } from './definition.ts'
import { entryOf, type IndexEntry } from './entries.ts'

/**
 * Computes which entries a commit adds and removes. What each of its writes will do is known before, because the commit
 * checks that the versions have not changed that it is computed from. Of a write with an origin it is not: that it is newer
 * than what is stored, or was removed, is up to the engine. Its entries are written `ifDone`.
 */

/** A version of an indexed member, as it is stored; it may have expired. */
export interface IndexedVersion {
  readonly revision: number
  readonly expiresAtMs: number | null
  /** Its entry in each index. */
  readonly entries: readonly IndexEntry[]
}

/** An indexed member that a commit writes. */
export interface IndexedMember extends MemberRef {
  readonly indexes: readonly Index[]
  /** Null if there is none. */
  readonly stored: IndexedVersion | null
}

export function storedVersion(indexes: readonly Index[], member: Member | null): IndexedVersion | null {
  if (member === null) return null
  const { key, value, revision, expiresAtMs } = member
  return { revision, expiresAtMs, entries: entriesOf(indexes, key, value) }
}

function entriesOf(indexes: readonly Index[], key: string, value: Value): readonly IndexEntry[] {
  return indexes.map((index) => entryOf(index, key, value))
}

/** An entry that a commit adds or removes, of which member. */
export interface EntryChange {
  readonly index: Index
  readonly of: MemberRef
  readonly entry: IndexEntry
  /** The index of the write in the commit that it depends on; undefined if that is done in any case. */
  readonly ifDone: number | undefined
}

export interface EntryChanges {
  readonly removed: EntryChange[]
  readonly added: EntryChange[]
}

/** Whether members may lack their entries in an index, because it is being built. */
export type IsBuilding = (index: Index) => boolean

/**
 * Returns the entries that the commit of these writes removes and adds. A value that leaves an entry as it is adds it all the
 * same while the index is built: the member may have had none, and the build leaves members alone that have changed.
 */
export function entryChanges(
  { writes, nowMs }: Pick<Commit, 'writes' | 'nowMs'>,
  members: ReadonlyMap<string, IndexedMember>,
  isBuilding: IsBuilding,
): EntryChanges {
  const changes: EntryChanges = { removed: [], added: [] }
  const byMember = new Map<string, [number, Write | Renew][]>()
  for (const [i, write] of writes.entries()) {
    const id = refId(write)
    if (!members.has(id)) continue
    const known = byMember.get(id)
    if (known === undefined) byMember.set(id, [[i, write]])
    else known.push([i, write])
  }
  for (const [id, own] of byMember) ofMember(changes, members.get(id)!, own, nowMs, isBuilding)
  return changes
}

/** As `entryChanges`, for a commit of one write. */
export function entryChangesOfOne(
  { writes, nowMs }: Pick<Commit, 'writes' | 'nowMs'>,
  member: IndexedMember,
  isBuilding: IsBuilding,
): EntryChanges {
  const changes: EntryChanges = { removed: [], added: [] }
  ofMember(changes, member, [[0, writes[0]!]], nowMs, isBuilding)
  return changes
}

function ofMember(
  changes: EntryChanges,
  member: IndexedMember,
  writes: readonly [number, Write | Renew][],
  nowMs: number,
  isBuilding: IsBuilding,
): void {
  const isForeign = writes.some(([, write]) => write.op !== 'renew' && write.origin !== undefined)
  if (isForeign) ofForeignWrites(changes, member, writes, isBuilding)
  else ofWrites(changes, member, writes, nowMs, isBuilding)
}

/** The version of a member after some writes; its revision is undefined if one of them created it. */
interface Version {
  readonly revision: number | undefined
  readonly expiresAtMs: number | null
  readonly put: Put | null
}

function ofWrites(
  { removed, added }: EntryChanges,
  { collection, key, indexes, stored }: IndexedMember,
  writes: readonly [number, Write | Renew][],
  nowMs: number,
  isBuilding: IsBuilding,
): void {
  let version: Version | null = stored === null ? null : { ...stored, put: null }
  for (const [, write] of writes) version = versionAfter(version, write, nowMs)
  if (version !== null && version.put === null) return
  const of = { collection, key }
  for (const [i, index] of indexes.entries()) {
    const before = stored?.entries[i]
    const after = version === null ? undefined : entryOf(index, key, version.put!.value)
    const isSame = before?.key === after?.key
    if (isSame && (after === undefined || !isBuilding(index))) continue
    if (before !== undefined && !isSame) removed.push({ index, of, entry: before, ifDone: undefined })
    if (after !== undefined) added.push({ index, of, entry: after, ifDone: undefined })
  }
}

/** As the engines apply a write without an origin. */
function versionAfter(version: Version | null, write: Write | Renew, nowMs: number): Version | null {
  if (write.op === 'put') return { revision: undefined, expiresAtMs: write.expiresAtMs, put: write }
  if (version === null) return null
  const isLive = !isExpired(version, nowMs)
  if (write.op === 'renew') {
    const isMeant = isLive && version.revision === write.ifRevision
    return isMeant ? { ...version, expiresAtMs: write.expiresAtMs } : version
  }
  return isDeleted(write, version, isLive) ? null : version
}

function isDeleted({ ifRevision, ifExpiresAtMs }: Delete, version: Version, isLive: boolean): boolean {
  if (ifExpiresAtMs !== undefined && version.expiresAtMs !== ifExpiresAtMs) return false
  return ifRevision === undefined ? isLive : version.revision === ifRevision
}

/** The entries of each write follow it, and replace all that there may be by then. */
function ofForeignWrites(
  { removed, added }: EntryChanges,
  { collection, key, indexes, stored }: IndexedMember,
  writes: readonly [number, Write | Renew][],
  isBuilding: IsBuilding,
): void {
  const of = { collection, key }
  for (const [i, index] of indexes.entries()) {
    const mayLack = isBuilding(index)
    const possible = stored === null ? [] : [stored.entries[i]!]
    for (const [ifDone, write] of writes) {
      if (write.op === 'renew') continue
      const after = write.op === 'put' ? entryOf(index, key, write.value) : undefined
      for (const entry of possible) if (entry.key !== after?.key) removed.push({ index, of, entry, ifDone })
      const isSame = possible.length === 1 && possible[0]!.key === after?.key
      if (after === undefined || (isSame && !mayLack)) continue
      added.push({ index, of, entry: after, ifDone })
      if (!isSame) possible.push(after)
    }
  }
}

/**
 * Returns the check that a member's stored version is the one that its entries were computed from. Its expiry is checked too: a
 * renewal may keep a write from being done.
 */
export function checkOf({ collection, key, stored }: IndexedMember): Check {
  const ref = { collection, key, evenExpired: true } as const
  return stored === null
    ? { ...ref, revision: null }
    : { ...ref, revision: stored.revision, expiresAtMs: stored.expiresAtMs }
}

export function putOfEntry({ index, of, entry, ifDone }: EntryChange): Put {
  const put = {
    op: 'put',
    collection: index.entries,
    key: entry.key,
    value: entry.value,
    contentType: jsonContentType,
    flags: 0,
    expiresAtMs: null,
    near: of,
  } as const
  return ifDone === undefined ? put : { ...put, ifDone }
}

export function deleteOfEntry({ index, of, entry, ifDone }: EntryChange): Delete {
  const { entries: collection } = index
  const own = { op: 'delete', collection, key: entry.key, cause: 'delete', near: of } as const
  return ifDone === undefined ? own : { ...own, ifDone }
}
