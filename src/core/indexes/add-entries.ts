import type { Check, Engine, MemberRef, Write } from '../engine.ts'
import { KvistError } from '../errors.ts'
import { isExpired, type Member } from '../member.ts'
import type { Writes } from '../writes.ts'
import type { Index } from './definition.ts'
import { asDuplicate, entryOf, type IndexEntry } from './entries.ts'
import type { PendingEntry } from './entry-batch.ts'
import { checkOf, type EntryChange, putOfEntry, storedVersion } from './entry-writes.ts'
import { type Holders, holderOfEntry, isUniqueChange, readHolders } from './unique.ts'

/** Gives members that a build has read their entries, as far as they have not changed since. */
export interface EntryAdder {
  /** Returns which members have the same unique values as others, for people; none, if all have their entries. */
  add(members: readonly Member[]): Promise<string[]>
  /**
   * Adds entries of an index that is not unique. `written` are the keys that may have changed since they were read; only those get
   * checks. The commit is given to the engine in this call.
   */
  addUnwritten(entries: readonly PendingEntry[], written: ReadonlySet<string>): Promise<void>
  /** Returns how many commits were asked for since the last call. */
  takeCommits(): number
}

export interface AddOptions {
  readonly engine: Pick<Engine, 'readMany'>
  readonly commit: Writes['commitChecked']
  readonly makeRoom: () => Promise<void>
  readonly now: () => number
}

/** Entries of one commit, which is split where a member has changed: clients write a few hundred while a page is on its way. */
const entriesAtOnce = 128
/** Entries of members on several lines, where each line gets a commit of its own. */
const spreadEntriesAtOnce = 256
/** The members with the same values that are named. */
const maxNamedDuplicates = 10

export function entryAdder(options: AddOptions, index: Index): EntryAdder {
  const { engine, makeRoom, now } = options
  let commits = 0

  /** Whether it was done; it is not where a member has changed. */
  async function commit(checks: readonly Check[], writes: readonly Write[]): Promise<boolean> {
    commits++
    return (await options.commit(checks, writes, 'relaxed')) !== null
  }

  const addPlain = plainAdder(index, commit)

  async function addUnwritten(entries: readonly PendingEntry[], written: ReadonlySet<string>): Promise<void> {
    const changed = entries.filter(({ key }) => written.has(key))
    const same = changed.length === 0 ? entries : entries.filter(({ key }) => !written.has(key))
    const adding = same.length === 0 ? null : commit([], putsOf(index, same))
    await Promise.all([adding, addPlain(changed)])
  }

  /** Adds the entry of a member, which is unique if no other has it. Returns false where that, or the member, has changed. */
  async function addUnique(member: Member, entry: IndexEntry): Promise<boolean> {
    const change = changeOf(index, member, entry)
    const checks = [unchangedCheck(index, member)]
    if (isUniqueChange(change)) {
      checks.push({ collection: index.entries, key: entry.key, revision: null, near: change.of })
    }
    return commit(checks, [putOfEntry(change)])
  }

  /** Adds what can be added. Returns the members that have to be tried again, and names duplicates. */
  async function tryUnique(
    members: readonly Member[],
    mayExpire: boolean,
    duplicates: string[],
  ): Promise<Member[]> {
    const added = members.map((member) => changeOf(index, member, entryOf(index, member.key, member.value)))
    const holders = await readHolders(engine, { removed: [], added })
    const again: Member[] = []
    const adding: Promise<void>[] = []
    for (const [i, member] of members.entries()) {
      const { entry, of } = added[i]!
      if (isUniqueChange(added[i]!) && holderOfEntry(holders, added[i]!)?.memberKey === of.key) continue
      const holder = await otherHolder(options, holders, added[i]!)
      if (holder !== null && !isExpired(member, now())) {
        const isTried = (!holder.isLive && mayExpire) || !(await isDuplicate(options, member, added[i]!))
        if (isTried) again.push(member)
        else if (duplicates.length < maxNamedDuplicates) duplicates.push(`${holder.key} and ${of.key}`)
        continue
      }
      const own = holder === null ? entry : asDuplicate(entry, of.key)
      // It is not done either where a member of this page has the values, which is found in the next try.
      adding.push(addUnique(member, own).then((isDone) => void (isDone || again.push(member))))
    }
    await Promise.all(adding)
    return unchanged(options, index, again)
  }

  async function addUniques(members: readonly Member[]): Promise<string[]> {
    const duplicates: string[] = []
    let left = await tryUnique(members, true, duplicates)
    while (left.length > 0) {
      await makeRoom()
      left = await tryUnique(left, false, duplicates)
    }
    return duplicates
  }

  return {
    async add(members) {
      if (index.unique) return addUniques(members)
      await addPlain(members.map((member) => pendingEntry(index, member)))
      return []
    },
    addUnwritten,
    takeCommits() {
      const taken = commits
      commits = 0
      return taken
    },
  }
}

type CheckedCommit = (checks: readonly Check[], writes: readonly Write[]) => Promise<boolean>

/** Returns what adds the entries of members that need not be unique. */
function plainAdder(
  index: Index,
  commit: CheckedCommit,
): (entries: readonly PendingEntry[]) => Promise<void> {
  let atOnce = entriesAtOnce

  /** Returns whether it was done; of members on several lines, those that one commit can have. */
  async function commitEntries(entries: readonly PendingEntry[]): Promise<boolean | PendingEntry[][]> {
    try {
      return await commit(
        entries.map((one) => versionCheck(index, one)),
        putsOf(index, entries),
      )
    } catch (error) {
      if (error instanceof KvistError && 'together' in error.extra)
        return entriesTogether(index, entries, error.extra.together as MemberRef[][])
      throw error
    }
  }

  async function addAll(entries: readonly PendingEntry[]): Promise<void> {
    // All at once, so that they are in one group of the engine.
    const parts: Promise<void>[] = []
    for (let from = 0; from < entries.length; from += atOnce) {
      parts.push(addPart(entries.slice(from, from + atOnce)))
    }
    await Promise.all(parts)
  }

  async function addPart(entries: readonly PendingEntry[]): Promise<void> {
    const done = await commitEntries(entries)
    if (done === true || (done === false && entries.length === 1)) return
    if (done !== false) {
      // Neighbors are on all lines.
      atOnce = spreadEntriesAtOnce
      await Promise.all(done.map(addPart))
      return
    }
    // One of them has changed: it has its entry from the write gate.
    const half = entries.length >> 1
    await Promise.all([addPart(entries.slice(0, half)), addPart(entries.slice(half))])
  }

  return addAll
}

function entriesTogether(
  { of }: Index,
  entries: readonly PendingEntry[],
  groups: readonly (readonly MemberRef[])[],
): PendingEntry[][] {
  const byKey = new Map(entries.map((one) => [one.key, one]))
  const keysOf = (refs: readonly MemberRef[]) => refs.filter(({ collection }) => collection === of)
  return groups.map((refs) => keysOf(refs).map(({ key }) => byKey.get(key)!))
}

export function pendingEntry(index: Index, { key, revision, value }: Member): PendingEntry {
  return { key, revision, entry: entryOf(index, key, value) }
}

function putsOf(index: Index, entries: readonly PendingEntry[]): Write[] {
  return entries.map((one) => putOfEntry(changeOf(index, one, one.entry)))
}

function changeOf(index: Index, { key }: Pick<Member, 'key'>, entry: IndexEntry): EntryChange {
  return { index, of: { collection: index.of, key }, entry, ifDone: undefined }
}

function unchangedCheck({ of: collection }: Index, member: Member): Check {
  return checkOf({ collection, key: member.key, indexes: [], stored: storedVersion([], member) })
}

/** Returns the check that the value is the one that was read. A renewal leaves it, and gives the member no entry. */
function versionCheck({ of: collection }: Index, { key, revision }: PendingEntry): Check {
  return { collection, key, revision, evenExpired: true }
}

/** Returns the key of the other member that has the values of an entry, and whether that lives; null for none. */
async function otherHolder({ engine, now }: AddOptions, holders: Holders, change: EntryChange) {
  const { collection, key } = change.of
  const holder = isUniqueChange(change) ? holderOfEntry(holders, change) : undefined
  if (holder === undefined || holder.memberKey === key) return null
  const [member] = await engine.readMany([{ collection, key: holder.memberKey }])
  const isLive = member !== undefined && member !== null && !isExpired(member, now())
  return { key: holder.memberKey, isLive }
}

/** Returns the members whose values are as they were read, with their present expiry: the others have entries from the write gate. */
async function unchanged(
  { engine }: AddOptions,
  { of: collection }: Index,
  members: readonly Member[],
): Promise<Member[]> {
  if (members.length === 0) return []
  const found = await engine.readMany(members.map(({ key }) => ({ collection, key })))
  return found.filter((one, i) => one !== null && one.revision === members[i]!.revision) as Member[]
}

/** Whether a member and another one have the same values at this moment: what was read of both may be of different ones. */
async function isDuplicate(
  { engine }: AddOptions,
  { revision }: Member,
  change: EntryChange,
): Promise<boolean> {
  const { of, index, entry } = change
  const [member, holder] = await engine.readMany([
    of,
    { collection: index.entries, key: entry.key, near: of },
  ])
  const isSame = member !== undefined && member !== null && member.revision === revision
  return isSame && holder !== undefined && holder !== null && holder.value !== entry.value
}
