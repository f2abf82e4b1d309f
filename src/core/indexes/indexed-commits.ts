import type {
  Check,
  Commit,
  CommitResult,
  Engine,
  MaybePromise,
  MemberRef,
  Write,
  Written,
} from '../engine.ts'
import { KvistError } from '../errors.ts'
import { keyedMutex } from '../keyed-mutex.ts'
import { smallPageBytes } from '../limits.ts'
import { isExpired } from '../member.ts'
import { refId } from '../plan.ts'
import { settingsCollection } from '../settings.ts'
import { joinedStaleView, StaleView } from '../stale-view.ts'
import type { Index } from './definition.ts'
import {
  checkOf,
  deleteOfEntry,
  type EntryChange,
  type EntryChanges,
  entryChanges,
  entryChangesOfOne,
  type IndexedMember,
  putOfEntry,
  storedVersion,
} from './entry-writes.ts'
import { freshCommits } from './fresh-commits.ts'
import type { IndexView } from './index-view.ts'
import { withoutProgress } from './progress-deletes.ts'
import type { IndexRegistry } from './registry.ts'
import { concernsUnique, notUnique, type ResolvedChanges, readHolders, resolveUnique } from './unique.ts'

/**
 * Commits that keep the indexes of what they write: each is extended by the entries that it adds and removes, in the same
 * commit of the engine. For that the stored versions are read, and the commit checks that they have not changed; when one has,
 * it is tried again. Commits of this server to the same member wait for each other instead.
 *
 * A commit `apart` becomes one for each write to an indexed member, because only those can be checked, and one for all others.
 */
export interface IndexedCommitOptions {
  readonly engine: Pick<Engine, 'readMany'>
  readonly commit: Engine['commit']
  readonly registry: Pick<IndexRegistry, 'hasAny' | 'kept' | 'of' | 'isBuilding'>
  /** Deletes the expired members, whose unique values are free then. */
  readonly makeRoom: () => Promise<void>
  /** Where other servers write to the store. */
  readonly view?: Pick<IndexView, 'number' | 'refresh'>
}

const maxTries = 1000
const nothingDone: Written = { revision: 0, createdAtMs: 0, clock: 0, existed: false }

/** Returns `commit` of the engine, with the entries of indexes. Rejects with `not_unique`; of a commit apart, the outcome has it. */
export function indexedCommits(options: IndexedCommitOptions): Engine['commit'] {
  const { view, commit } = options
  if (view === undefined) return commitsWithEntries(options)
  const viewed: Engine['commit'] = (given) => {
    const number = view.number()
    return commit(number === 0 ? given : { ...given, view: number })
  }
  return freshCommits(view, commitsWithEntries({ ...options, commit: viewed }))
}

function commitsWithEntries(options: IndexedCommitOptions): Engine['commit'] {
  const { registry, makeRoom, view, commit: commitPlain } = options
  const exclusive = keyedMutex()

  function isIndexed(write: { readonly op: string; readonly collection: string }): boolean {
    return write.op !== 'renew' && registry.kept(write.collection) !== undefined
  }

  /** Whether a commit may write to indexed members, or removes indexes. */
  function mayConcern({ writes }: Commit): boolean {
    for (const { collection } of writes) {
      if (registry.kept(collection) !== undefined || collection === settingsCollection) return true
    }
    return false
  }

  /** Runs a commit alone on its members. No mutex is held while room is made: the sweep may need it. */
  async function commitIndexed(commit: Commit, ids: readonly string[]): Promise<CommitResult> {
    if (commit.apart === true) return commitApart(options, commit, isIndexed, (run) => exclusive(ids, run))
    const run = (tries: HolderPolicy) => () => commitWithEntries(options, commit, storedReads(options), tries)
    try {
      return await exclusive(ids, run('may-expire'))
    } catch (error) {
      if (!(error instanceof HolderExpired)) throw error
    }
    await makeRoom()
    return exclusive(ids, run('stays'))
  }

  /** As `commitIndexed`, for a commit of one write, which mostly needs no try but the first, and nothing that comes late. */
  function commitOne(commit: Commit): Promise<CommitResult> {
    const ids = [refId(commit.writes[0]!)]
    return exclusive(ids, () => commitAtOnce(options, commit)).then((result) => {
      if (result === null) return commitIndexed(commit, ids)
      if (result.ok) return firstOf(result, 1)
      return 'failed' in result && !isOwnCheck(commit, result.failed) ? commitIndexed(commit, ids) : result
    })
  }

  return (given) => {
    if (!registry.hasAny() || !mayConcern(given)) return commitPlain(given)
    const commit = withoutProgress(registry, given)
    const indexed = commit.writes.filter(isIndexed)
    if (indexed.length === 0)
      return commit === given ? commitPlain(commit) : firstOutcomes(commitPlain(commit), given)
    // A store that other servers write to is elsewhere: nothing is read at once.
    if (view === undefined && commit.writes.length === 1 && commit.apart === undefined)
      return commitOne(commit)
    const ids = indexed.length === 1 ? [refId(indexed[0]!)] : [...new Set(indexed.map(refId))]
    const committing = commitIndexed(commit, ids)
    return commit === given ? committing : firstOutcomes(committing, given)
  }
}

/** The result as it is without the writes that were added to a commit. */
async function firstOutcomes(committing: Promise<CommitResult>, { writes }: Commit): Promise<CommitResult> {
  const result = await committing
  return result.ok ? firstOf(result, writes.length) : result
}

type Done = Extract<CommitResult, { readonly ok: true }>

function firstOf(result: Done, count: number): Done {
  return result.written.length > count ? { ok: true, written: result.written.slice(0, count) } : result
}

/** Another member has the unique values of a write, but has expired: it has to be swept first. */
class HolderExpired extends Error {}

/** Whether the holder of unique values may turn out to have expired, or was swept if it had. */
type HolderPolicy = 'may-expire' | 'stays'

async function commitApart(
  options: IndexedCommitOptions,
  commit: Commit,
  isIndexed: (write: Commit['writes'][number]) => boolean,
  exclusive: <R>(run: () => Promise<R>) => Promise<R>,
): Promise<CommitResult> {
  const written: Written[] = new Array(commit.writes.length)
  const others: number[] = []
  const byMember = new Map<string, number[]>()
  for (const [i, write] of commit.writes.entries()) {
    const own = isIndexed(write) ? byMember.get(refId(write)) : others
    if (own === undefined) byMember.set(refId(write), [i])
    else own.push(i)
  }
  const { makeRoom, commit: commitPlain } = options
  const oneOf = singleWrites(commit)

  const refused: StaleView[] = []

  async function commitOthers(): Promise<void> {
    if (others.length === 0) return
    try {
      const result = await commitPlain({ ...commit, writes: others.map((i) => commit.writes[i]!) })
      if (!result.ok) throw new Error('a commit apart is always done')
      for (const [n, i] of others.entries()) written[i] = result.written[n]!
    } catch (error) {
      if (!(error instanceof StaleView)) throw error
      refused.push(error)
      for (const [n, one] of error.done) written[others[n]!] = one
    }
  }

  /** Returns the writes of each member that are left because the holder of unique values has expired. */
  async function commitMembers(members: readonly number[][], policy: HolderPolicy): Promise<number[][]> {
    const stored = storedReads(options)
    await stored.read(members.map(([i]) => commit.writes[i!]!))
    const left: number[][] = []
    const run = async (indexes: number[]) => {
      for (const [n, i] of indexes.entries()) {
        const outcome = await outcomeOf(commitWithEntries(options, oneOf(i), stored, policy))
        if (outcome === null) return void left.push(indexes.slice(n))
        // The later writes of the member are not done before it.
        if (outcome instanceof StaleView) return void refused.push(outcome)
        written[i] = outcome
      }
    }
    await allDone(members.map(run))
    return left
  }

  const left = await exclusive(async () => {
    const [again] = await Promise.all([commitMembers([...byMember.values()], 'may-expire'), commitOthers()])
    return again
  })
  if (left.length > 0) {
    await makeRoom()
    await exclusive(() => commitMembers(left, 'stays'))
  }
  if (refused.length > 0) throw joinedStaleView(refused, doneOf(written))
  return { ok: true, written }
}

function doneOf(written: readonly Written[]): ReadonlyMap<number, Written> {
  return new Map([...written.entries()].filter(([, one]) => one !== undefined))
}

/** Returns a function that returns a commit of one of the writes of a commit apart. */
function singleWrites({ writes, nowMs, durability, quotas = [] }: Commit): (i: number) => Commit {
  const base = { checks: [], nowMs, ...(durability === undefined ? {} : { durability }) }
  return (i) => {
    const write = writes[i]!
    const own = quotas.filter(({ collection }) => collection === write.collection)
    return { ...base, writes: [write], ...(own.length === 0 ? {} : { quotas: own }) }
  }
}

/** Waits for all; a failed one must not leave others behind that still run. */
async function allDone(tasks: readonly Promise<void>[]): Promise<void> {
  const results = await Promise.allSettled(tasks)
  for (const result of results) if (result.status === 'rejected') throw result.reason
}

/** The outcome of a commit of one write, as that of a write apart; null if a member has to be swept first. */
async function outcomeOf(committing: Promise<CommitResult>): Promise<Written | StaleView | null> {
  try {
    const result = await committing
    if (result.ok) return result.written[0]!
    if ('exceeded' in result) return { ...nothingDone, exceeded: result.exceeded }
  } catch (error) {
    if (error instanceof HolderExpired) return null
    if (error instanceof StaleView) return error
    if (!(error instanceof KvistError) || error.code !== 'not_unique') throw error
    return { ...nothingDone, notUnique: error }
  }
  throw new Error('a commit without checks cannot fail one')
}

/** The versions that members had before a commit, each read once and used by the first try. */
interface StoredReads {
  read(refs: readonly MemberRef[]): MaybePromise<void>
  /** Returns what was read, if the indexes are the same by now. */
  take(ref: MemberRef, indexes: readonly Index[]): IndexedMember | undefined
}

function storedReads({ engine, registry }: IndexedCommitOptions): StoredReads {
  const known = new Map<string, IndexedMember>()

  function keep(ref: MemberRef, indexes: readonly Index[], member: Parameters<typeof storedVersion>[1]) {
    const { collection, key } = ref
    known.set(refId(ref), { collection, key, indexes, stored: storedVersion(indexes, member) })
  }

  async function readAll(refs: readonly MemberRef[]): Promise<void> {
    // The values are not kept, so many large ones are never in memory at once.
    for (let from = 0; from < refs.length; ) {
      const part = refs.slice(from, from + readAtOnce)
      const members = await engine.readMany(part, smallPageBytes)
      for (const [i, member] of members.entries()) {
        const indexes = registry.kept(part[i]!.collection)
        if (indexes !== undefined) keep(part[i]!, indexes, member)
      }
      from += members.length
    }
  }

  return {
    read: readAll,
    take(ref, indexes) {
      const id = refId(ref)
      const member = known.get(id)
      known.delete(id)
      return member?.indexes === indexes ? member : undefined
    },
  }
}

const readAtOnce = 500

async function commitWithEntries(
  options: IndexedCommitOptions,
  commit: Commit,
  stored: StoredReads,
  policy: HolderPolicy,
): Promise<CommitResult> {
  const { engine, commit: commitPlain } = options
  for (let tries = 0; tries < maxTries; tries++) {
    const members = await membersOf(options, commit, stored)
    const changes = entryChanges(commit, members, options.registry.isBuilding)
    const resolved = concernsUnique(changes)
      ? resolveUnique(changes, await readHolders(engine, changes))
      : { ...changes, checks: [], conflict: null }
    if (resolved.conflict !== null) {
      const { claim, holder } = resolved.conflict
      if (policy === 'may-expire' && (await isHolderExpired(engine, resolved, commit.nowMs))) {
        throw new HolderExpired()
      }
      throw notUnique(claim.of, claim.index, holder)
    }
    // From here to the commit nothing is awaited, so it has the indexes that there are by now.
    if (!isCurrent(options, commit, members)) continue
    const own = Array.from(members.values(), checkOf)
    const result = await commitPlain(extended(commit, [...own, ...resolved.checks], resolved))
    if (result.ok) return firstOf(result, commit.writes.length)
    if (!('failed' in result) || isOwnCheck(commit, result.failed)) return result
  }
  const [one] = commit.writes
  throw new KvistError('conflict', `${one!.key} changed too often to be written`)
}

async function membersOf(
  { registry }: IndexedCommitOptions,
  { writes }: Commit,
  stored: StoredReads,
): Promise<ReadonlyMap<string, IndexedMember>> {
  const members = new Map<string, IndexedMember>()
  const unread = new Map<string, Write>()
  const take = (write: Write) => {
    const indexes = registry.kept(write.collection)
    const member = indexes === undefined ? undefined : stored.take(write, indexes)
    if (member !== undefined) members.set(refId(write), member)
    else if (indexes !== undefined && !members.has(refId(write))) unread.set(refId(write), write)
  }
  for (const write of writes) if (write.op !== 'renew') take(write)
  if (unread.size === 0) return members
  await stored.read([...unread.values()])
  for (const write of unread.values()) {
    const member = stored.take(write, registry.kept(write.collection)!)
    if (member !== undefined) members.set(refId(write), member)
  }
  return members
}

/** Whether the indexes of all that a commit writes are still those with which it was computed. */
function isCurrent(
  { registry }: IndexedCommitOptions,
  { writes }: Commit,
  members: ReadonlyMap<string, IndexedMember>,
): boolean {
  return writes.every(
    (write) => write.op === 'renew' || registry.kept(write.collection) === members.get(refId(write))?.indexes,
  )
}

async function isHolderExpired(
  engine: Pick<Engine, 'readMany'>,
  { conflict }: ResolvedChanges,
  nowMs: number,
): Promise<boolean> {
  const { holder, isWithin } = conflict!
  if (isWithin) return false
  const [member] = await engine.readMany([holder])
  return member === null || member === undefined || isExpired(member, nowMs)
}

function extended(commit: Commit, checks: readonly Check[], { removed, added }: EntryChanges): Commit {
  const writes = [...commit.writes]
  if (removed.some(isConditional) || added.some(isConditional)) {
    // Removals come before additions, for each of the writes that they follow.
    const changes: [EntryChange, Write][] = [
      ...removed.map((change): [EntryChange, Write] => [change, deleteOfEntry(change)]),
      ...added.map((change): [EntryChange, Write] => [change, putOfEntry(change)]),
    ]
    changes.sort(([a], [b]) => (a.ifDone ?? -1) - (b.ifDone ?? -1))
    for (const [, write] of changes) writes.push(write)
  } else {
    for (const change of removed) writes.push(deleteOfEntry(change))
    for (const change of added) writes.push(putOfEntry(change))
  }
  const all = commit.checks.length === 0 ? checks : [...commit.checks, ...checks]
  return { ...commit, checks: all, writes }
}

function isConditional({ ifDone }: EntryChange): boolean {
  return ifDone !== undefined
}

const notAtOnce = Promise.resolve(null)

/**
 * Commits one write if the stored version can be read at once and no other member's entry matters: without lists and without
 * waiting, so that the commit joins the group of its tick. Resolves with null otherwise, with nothing done.
 */
function commitAtOnce(
  { engine, registry, commit: commitPlain }: IndexedCommitOptions,
  commit: Commit,
): Promise<CommitResult | null> {
  const { collection, key } = commit.writes[0]!
  const indexes = registry.kept(collection)
  if (indexes === undefined || indexes.some(({ unique }) => unique)) return notAtOnce
  try {
    const found = engine.readMany([{ collection, key }])
    if (found instanceof Promise) return notAtOnce
    const member = { collection, key, indexes, stored: storedVersion(indexes, found[0]!) }
    const changes = entryChangesOfOne(commit, member, registry.isBuilding)
    return commitPlain(extended(commit, [checkOf(member)], changes))
  } catch (error) {
    return Promise.reject(error)
  }
}

/** Whether a failed check is one that the commit came with. */
function isOwnCheck({ checks }: Commit, failed: MemberRef & { readonly revision: number | null }): boolean {
  return checks.some(
    ({ collection, key, revision }) =>
      collection === failed.collection && key === failed.key && revision !== failed.revision,
  )
}
