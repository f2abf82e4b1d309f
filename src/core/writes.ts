import {
  type CommandOptions,
  commandExecutor,
  commitOf,
  noChecks,
  type QuotaOptions,
  type WriteCommand,
} from './command.ts'
import type { Condition } from './condition.ts'
import { type ConflictRecordOptions, type ConflictWatch, replicateWithRecords } from './conflicts.ts'
import type { AskedExpiry, Content, NewContent, Outcome, Stored } from './content.ts'
import type {
  Check,
  CommitResult,
  Delete,
  Durability,
  Engine,
  MemberRef,
  Put,
  Renew,
  Write,
  Written,
} from './engine.ts'
import { KvistError } from './errors.ts'
import type { ForeignWrite } from './foreign-write.ts'
import { type IndexedCommitOptions, indexedCommits } from './indexes/indexed-commits.ts'
import type { WrittenKeys } from './indexes/written-keys.ts'
import { defaultTombstonesMs } from './jobs/tombstone-gc.ts'
import { limitedCommits } from './limited-commits.ts'
import { maxClockAheadMs } from './limits.ts'
import type { Decide, Operation } from './operations.ts'
import { requireSaneOrigin } from './origin.ts'
import type { Patch } from './patch.ts'
import { asAsked } from './plan.ts'
import { quotaExceeded } from './quota.ts'
import { type RenewalRecordOptions, recordingRenewals, withoutKnownRenewals } from './renewal-records.ts'
import { putOf } from './transforms.ts'
import { type UnderWay, workUnderWay } from './under-way.ts'
import { type Unmirrored, unmirroredWrites } from './unmirrored.ts'

/**
 * The write gate: the only caller of `Engine.commit`. A command passes these stages, in this order:
 *
 *     transform   puts get the default expiry of their collection, go through its processes and are checked against its
 *                 schema, once and before any member is read, because a process may take long (transforms.ts)
 *     resolve     the members that the command depends on are read together; patches, increments, touches and decisions
 *                 become writes, which are transformed too; conditions are evaluated (plan.ts, operations.ts)
 *     check       the commit gets checks that those members have not changed since, the command's own checks, and those
 *                 of the writes alongside it
 *     index       the commit gets the entries of the members' indexes, and checks that they are those of the stored versions
 *                 (indexes/indexed-commits.ts)
 *     commit      one commit of the engine: all writes of the command and those alongside it, or none
 *     retry       from `resolve` on, when one of those members changed, and once when a quota is exceeded, after the
 *                 expired members are deleted; a failed check of the command's own is an error
 *
 * Commands that depend on the same member run one after the other. Writes that do not depend on stored members skip to
 * `commit`. Writes that went through the gate of another node are not transformed, and those that went through `prepare`
 * are only checked.
 */
export interface Writes extends Unmirrored {
  /**
   * Executes all operations of a command or none and returns the outcome of each, with revision 0 for a delete or touch
   * of a missing member.
   */
  execute(command: WriteCommand): Promise<Outcome[]>
  put(ref: MemberRef, content: NewContent, condition?: Condition, prepared?: Prepared): Promise<Stored>
  /**
   * Returns the content that a put would store: with the default expiry, after the collection's processes or, if it has
   * not set any, after `otherwise`. It is not checked yet.
   */
  prepare(ref: MemberRef, content: NewContent, otherwise: readonly string[]): Promise<Content>
  /** Returns the revision of the delete; 0 when there was no member. */
  delete(ref: MemberRef, condition?: Condition): Promise<number>
  /**
   * Patches a member (patch.ts) as `update` does: no concurrent patch is lost. Without a new expiry the member keeps
   * its expiry. The outcome of an increment has the new number.
   */
  patch(ref: MemberRef, patch: Patch, condition?: Condition, expiresAtMs?: AskedExpiry): Promise<Outcome>
  /**
   * Gives a member another expiry and leaves its value, its revision and its position in the feed. Null if there is no
   * member. A time in the past expires the member at once, and watchers see its removal.
   */
  touch(ref: MemberRef, expiresAtMs: number | 'never', condition?: Condition): Promise<Outcome | null>
  /**
   * Reads a member, calls `decide`, and commits its write unless the member was written in between; otherwise it reads
   * and decides again, so `decide` must have no effects that a further call does not undo. An expired member counts as
   * absent. Null if there was nothing to write. Updates of one member run one after the other.
   */
  update(ref: MemberRef, decide: Decide, durability?: Durability): Promise<Written | null>
  /**
   * Does writes without conditions, in order and each on its own, and returns the outcome of each. One that would pass a
   * quota has `exceeded` in its outcome.
   */
  write(writes: readonly Write[], options?: WriteOptions): Promise<readonly Written[]>
  /** Stores many members at once without conditions, and returns those that a process, a schema or a quota rejected. */
  putAll(collection: string, members: readonly (NewContent & { key: string })[]): Promise<Rejected[]>
  /**
   * Applies writes of other nodes with their origins, each on its own and only if it is newer than the stored version.
   * Nothing is transformed, and no quota applies, or nodes would not agree. Throws as `requireReplicable` does, before
   * anything is written. With `watch` the versions that are lost in conflicts are recorded (conflicts.ts).
   */
  replicate(writes: readonly ForeignWrite[], watch?: ConflictWatch): Promise<readonly Written[]>
  /** Throws `unprocessable` for a write of another node whose origin is not valid, or too far ahead. */
  requireReplicable(write: ForeignWrite): void
  /** Commits writes of kvist's own jobs, each on its own, without transforming them and without quotas. */
  commit(writes: readonly (Write | Renew)[], options?: CommitOptions): Promise<readonly Written[]>
  /** Commits writes to collections of kvist's own: together if there are checks; null if one of them fails. */
  commitChecked(
    checks: readonly Check[],
    writes: readonly Write[],
    durability?: Durability,
  ): Promise<readonly Written[] | null>
  /**
   * Resolves when all writes of clients that began before the call are done: they may have been checked against settings that
   * have changed since.
   */
  settled(): Promise<void>
}

/** How far a content came before: through `prepare`, or through the gate of another node. */
export type Prepared = 'prepared' | 'mirrored'

export interface WriteOptions {
  readonly durability?: Durability
}

export interface CommitOptions {
  readonly durability?: Durability
  readonly nowMs?: number
}

/** A member that was not stored. */
export interface Rejected {
  readonly index: number
  readonly error: KvistError
}

export interface WriteGateOptions
  extends Pick<CommandOptions, 'transforms' | 'now' | 'onTouch'>,
    QuotaOptions {
  readonly engine: Pick<Engine, 'commit' | 'readMany' | 'scan'> & ConflictRecordOptions['engine']
  /** Missing: renewals get no records. */
  readonly renewalRecords?: Omit<RenewalRecordOptions, 'commit'>
  /** Missing: no collection has indexes. */
  readonly indexes?: IndexedCommitOptions['registry']
  /** Missing: no other server writes to the store. */
  readonly view?: IndexedCommitOptions['view']
  /** Notes all writes that are given to the engine, for builds of indexes. */
  readonly written?: Pick<WrittenKeys, 'note'>
  /** How far the clock of another node may be ahead; `maxClockAheadMs` if left out. */
  readonly maxAheadMs?: number
}

export function writeGate(options: WriteGateOptions): Writes {
  const { engine, transforms, now, renewalRecords } = options
  const { indexes: registry, makeRoom, view, written } = options
  const commitToEngine: Engine['commit'] = (commit) => {
    written?.note(commit.writes)
    return engine.commit(commit)
  }
  const commitPlain =
    registry === undefined
      ? commitToEngine
      : indexedCommits({
          engine,
          commit: commitToEngine,
          registry,
          makeRoom,
          ...(view === undefined ? {} : { view }),
        })
  const commit =
    renewalRecords === undefined ? commitPlain : recordingRenewals({ commit: commitPlain, ...renewalRecords })
  const underWay = workUnderWay()
  const plain = plainWrites({ ...options, commit }, underWay)
  const executor = commandExecutor({
    ...options,
    commit,
    readMany: (refs) => engine.readMany(refs),
  })
  const execute: Writes['execute'] = (command) => underWay.run(() => executor(command))

  async function executeOne(
    operation: Operation,
    how: Omit<WriteCommand, 'operations'> = {},
  ): Promise<Outcome> {
    const [outcome] = await execute({ ...how, operations: [operation] })
    return outcome!
  }

  const putOtherwise: Writes['put'] = async (ref, content, condition, prepared) => {
    if (prepared === 'prepared') transforms.requireMatching({ ...ref, value: content.value })
    if (condition === undefined && prepared !== undefined) return plain.put(asAsked(putOf(ref, content)))
    return executeOne({ ...putOf(ref, content), condition }, { isTransformed: prepared !== undefined })
  }

  const update: Writes['update'] = async ({ collection, key }, decide, durability) => {
    const outcome = await executeOne({ op: 'update', collection, key, decide }, { durability })
    return outcome.isWritten ? outcome : null
  }
  const keepMs = renewalRecords?.keepMs ?? defaultTombstonesMs
  const replicateWatched = replicateWithRecords({ engine, commit, update, now, keepMs })

  return {
    ...plain,
    execute,
    put(ref, content, condition, prepared) {
      // The most frequent write: without promises beside that of its commit.
      if (prepared === undefined && condition === undefined && !transforms.has(ref.collection))
        return plain.put(asAsked(putOf(ref, content)))
      return putOtherwise(ref, content, condition, prepared)
    },
    async prepare(ref, content, otherwise) {
      const put = await transforms.prepare(putOf(ref, content), now(), otherwise)
      const { value, contentType, flags, expiresAtMs } = put
      return { value, contentType, flags, expiresAtMs }
    },
    async delete({ collection, key }, condition) {
      const write: Delete = { op: 'delete', collection, key, cause: 'delete' }
      const { revision } =
        condition === undefined
          ? (await plain.commit([write]))[0]!
          : await executeOne({ op: 'delete', collection, key, condition })
      return revision
    },
    patch: ({ collection, key }, patch, condition, expiresAtMs = null) =>
      executeOne({ op: 'patch', collection, key, patch, condition, expiresAtMs }),
    async replicate(writes, watch) {
      for (const write of writes) plain.requireReplicable(write)
      const ready = await withoutKnownRenewals(engine, writes)
      return watch === undefined ? plain.commit(ready) : replicateWatched(ready, watch)
    },
    async touch({ collection, key }, expiresAtMs, condition) {
      const outcome = await executeOne({ op: 'touch', collection, key, expiresAtMs, condition })
      return outcome.revision === 0 ? null : outcome
    },
    update,
    settled: underWay.settled,
  }
}

/** Returns the writes that do not depend on stored members. */
function plainWrites(options: WriteGateOptions & Pick<CommandOptions, 'commit'>, underWay: UnderWay) {
  const { commit: commitToEngine, engine, transforms, now, quotasOf, maxAheadMs = maxClockAheadMs } = options
  const limited = limitedCommits(options)
  const isTransformed = ({ collection }: MemberRef) => transforms.has(collection)

  function put(write: Put): Promise<Stored> {
    const writes = [write]
    const { expiresAtMs } = write
    if (quotasOf(writes) !== undefined) {
      return underWay
        .run(() => limited.commit(writes, undefined))
        .then(([written]) => storedOf(written!, expiresAtMs))
    }
    const committing = commitToEngine(commitOf(noChecks, writes, now(), undefined))
    // In the same tick as the check of quotas, so that `settled` cannot come in between.
    const era = underWay.begin()
    return committing.then(
      (result) => {
        underWay.end(era)
        return storedOf(writtenOf(result)[0]!, expiresAtMs)
      },
      (error) => {
        underWay.end(era)
        throw error
      },
    )
  }

  async function commit(
    writes: readonly (Write | Renew)[],
    { durability, nowMs = now() }: CommitOptions = {},
  ): Promise<readonly Written[]> {
    const commit = commitOf(noChecks, writes, nowMs, durability)
    return writtenOf(await commitToEngine(writes.length === 1 ? commit : { ...commit, apart: true }))
  }

  async function commitChecked(
    checks: readonly Check[],
    writes: readonly Write[],
    durability?: Durability,
  ): Promise<readonly Written[] | null> {
    const commit = commitOf(checks, writes, now(), durability)
    const isApart = checks.length === 0 && writes.length > 1
    const result = await commitToEngine(isApart ? { ...commit, apart: true } : commit)
    return result.ok ? result.written : null
  }

  const requireReplicable = ({ origin }: ForeignWrite) => requireSaneOrigin(origin, now(), maxAheadMs)

  async function write(
    writes: readonly Write[],
    { durability }: WriteOptions = {},
  ): Promise<readonly Written[]> {
    if (!writes.some(isTransformed)) return limited.commit(writes, durability)
    const nowMs = now()
    const ready = writes.map((one) => (one.op === 'put' ? transforms.apply(one, null, nowMs) : one))
    return limited.commit(await Promise.all(ready), durability)
  }

  async function putAll(
    collection: string,
    members: readonly (NewContent & { key: string })[],
  ): Promise<Rejected[]> {
    if (members.length === 0) return []
    const nowMs = now()
    const newPut = (member: NewContent & { key: string }) => putOf({ collection, key: member.key }, member)
    if (!transforms.has(collection)) {
      const puts = members.map((member) => asAsked(newPut(member)))
      return rejectedBy(await limited.inOrder(collection, puts))
    }
    const puts = members.map(newPut)
    const applied = await Promise.allSettled(puts.map(async (one) => transforms.apply(one, null, nowMs)))
    const ready = applied.flatMap((one, index) =>
      one.status === 'fulfilled' ? [{ index, put: one.value }] : [],
    )
    const writes = ready.map((one) => one.put)
    const overQuota = writes.length === 0 ? [] : rejectedBy(await limited.inOrder(collection, writes))
    const rejected = applied.flatMap((one, index) => {
      if (one.status === 'fulfilled') return []
      if (one.reason instanceof KvistError) return [{ index, error: one.reason }]
      throw one.reason
    })
    return [...rejected, ...overQuota.map(({ index, error }) => ({ index: ready[index]!.index, error }))]
  }

  const unmirrored = unmirroredWrites({ engine, commit: (writes) => limited.commit(writes, undefined), now })
  return {
    putUnmirrored: (ref: MemberRef, content: Content) =>
      underWay.run(() => unmirrored.putUnmirrored(ref, content)),
    deleteUnmirrored: unmirrored.deleteUnmirrored,
    put,
    commit,
    commitChecked,
    requireReplicable,
    write: (writes: readonly Write[], how?: WriteOptions) => underWay.run(() => write(writes, how)),
    putAll: (collection: string, members: readonly (NewContent & { key: string })[]) =>
      underWay.run(() => putAll(collection, members)),
  }
}

/** Returns what a put stored. Throws `not_unique` and `quota_exceeded`. */
function storedOf(written: Written, expiresAtMs: number | null): Stored {
  const { revision, createdAtMs, clock, existed, notUnique, exceeded } = written
  if (notUnique !== undefined) throw notUnique
  if (exceeded !== undefined) throw quotaExceeded(exceeded)
  return { revision, createdAtMs, clock, existed, expiresAtMs }
}

/** Returns the outcomes of a commit without checks and quotas. */
function writtenOf(result: CommitResult): readonly Written[] {
  if (!result.ok) throw new Error('a commit without checks and quotas is always done')
  return result.written
}

function rejectedBy(written: readonly Written[]): Rejected[] {
  const rejected: Rejected[] = []
  for (let index = 0; index < written.length; index++) {
    const { exceeded, notUnique } = written[index]!
    if (notUnique !== undefined) rejected.push({ index, error: notUnique })
    else if (exceeded !== undefined) rejected.push({ index, error: quotaExceeded(exceeded) })
  }
  return rejected
}
