import type { Condition } from './condition.ts'
import type { AskedExpiry, Content, NewContent, Outcome, Stored } from './content.ts'
import type {
  Check,
  Commit,
  CommitResult,
  Delete,
  Durability,
  Engine,
  MemberRef,
  Put,
  Renew,
  VersionOrigin,
  Write,
  Written,
} from './engine.ts'
import { KvistError } from './errors.ts'
import { keyedMutex } from './keyed-mutex.ts'
import type { Decide, Operation } from './operations.ts'
import { type Origin, requireSaneOrigin } from './origin.ts'
import type { Patch } from './patch.ts'
import { asAsked, outcomesOf, type Plan, planOf, refId, refsRead } from './plan.ts'
import { putOf, type Transforms } from './transforms.ts'

/**
 * The write gate: the only caller of `Engine.commit`. A command passes these stages, in this order:
 *
 *     transform   puts get the default expiry of their collection and go through its processes, once and before
 *                 anything is read: a process may take long (transforms.ts)
 *     resolve     the members that the command depends on are read together; patches, increments, touches and decisions
 *                 become writes, which are transformed too; conditions are looked at (plan.ts, operations.ts)
 *     check       that those members have not changed since, the checks of the command itself, and those of what is
 *                 written alongside, are put into the commit
 *     commit      one commit of the engine: all writes of the command and what is written alongside, or none
 *     retry       where somebody else was quicker, from `resolve` on; a check of the command's own is an answer
 *
 * Commands on one member that depend on what it is run one after the other. Writes that depend on nothing skip to
 * `commit`. Writes that went through the gate of another node, or through `prepare`, are not transformed again.
 */
export interface Writes {
  /** All operations of a command or none; the outcome of each. */
  execute(command: WriteCommand): Promise<Outcome[]>
  put(ref: MemberRef, content: NewContent, condition?: Condition, prepared?: 'prepared'): Promise<Stored>
  /** What a put would store; `otherwise` are processes for a collection that has not set any. */
  prepare(ref: MemberRef, content: NewContent, otherwise: readonly string[]): Promise<Content>
  /** False when there was nothing to delete. */
  delete(ref: MemberRef, condition?: Condition): Promise<boolean>
  patch(ref: MemberRef, patch: Patch, condition?: Condition, expiresAtMs?: AskedExpiry): Promise<Outcome>
  /** Null when there is no such member. */
  touch(ref: MemberRef, expiresAtMs: number | 'never', condition?: Condition): Promise<Outcome | null>
  /** Null when there was nothing to write. */
  update(ref: MemberRef, decide: Decide, durability?: Durability): Promise<Written | null>
  /** Writes without conditions, in their order and each by itself; the outcome of each. */
  write(writes: readonly Write[], options?: WriteOptions): Promise<readonly Written[]>
  /** Stores many at once without conditions, and returns those that a process rejected. */
  putAll(collection: string, members: readonly (NewContent & { key: string })[]): Promise<Rejected[]>
  /** Writes of other nodes: see `Database.replicate`. */
  replicate(writes: readonly ForeignWrite[]): Promise<readonly Written[]>
  /** Of kvist's own jobs: nothing is transformed, and each write is by itself. */
  commit(writes: readonly (Write | Renew)[], options?: CommitOptions): Promise<readonly Written[]>
}

export interface WriteCommand {
  readonly operations: readonly Operation[]
  /** The client's own: one that fails is told of at once, as `precondition_failed`. */
  readonly checks?: readonly Check[]
  readonly durability?: Durability | undefined
  readonly prepared?: 'prepared' | undefined
  readonly alongside?: Alongside
}

/**
 * Writes to collections of kvist's own in the commit of a command: what a command was answered, what it is indexed by,
 * what it counts for. With it every member of the command is read, and stays what it was until it is written.
 */
export interface Alongside {
  readonly checks?: readonly Check[]
  /** Called at each try: the puts and deletes of the plan are committed right before these writes. */
  writes(plan: Plan, nowMs: number): readonly Write[]
}

/** A write that was made on another node. */
export type ForeignWrite = (Put & { readonly origin: VersionOrigin }) | (Delete & { readonly origin: Origin })

export interface WriteOptions {
  readonly durability?: Durability
  readonly prepared?: 'prepared'
}

export interface CommitOptions {
  readonly durability?: Durability
  readonly nowMs?: number
}

/** One of several that was not stored. */
export interface Rejected {
  readonly index: number
  readonly error: KvistError
}

export interface WriteGateOptions {
  readonly engine: Pick<Engine, 'commit' | 'readMany'>
  readonly transforms: Transforms
  readonly now: () => number
  /** These members are about to get, or have got, another expiry than they had: renewals that wait are void. */
  readonly onTouch: (refs: readonly MemberRef[]) => void
}

/** Each failure means that somebody else got on, so this many in a row is no accident. */
const maxTries = 1000
const noChecks: readonly Check[] = []

export function writeGate({ engine, transforms, now, onTouch }: WriteGateOptions): Writes {
  const exclusive = keyedMutex()

  async function execute(command: WriteCommand): Promise<Outcome[]> {
    const isPlain = command.prepared !== undefined || !command.operations.some(isTransformed)
    const operations = isPlain ? command.operations : await transformed(command.operations)
    const refs = refsRead(operations, command.alongside !== undefined)
    const run = () => tryUntilDone({ ...command, operations }, refs)
    return refs.length === 0 ? run() : exclusive(refs.map(refId), run)
  }

  function isTransformed({ collection }: MemberRef): boolean {
    return transforms.has(collection)
  }

  function transformed(operations: readonly Operation[]): Promise<Operation[]> {
    const nowMs = now()
    return Promise.all(
      operations.map(async (operation) => {
        if (operation.op !== 'put') return operation
        const { condition } = operation
        return { ...(await transforms.apply(putOf(operation, operation), null, nowMs)), condition }
      }),
    )
  }

  async function tryUntilDone(command: WriteCommand, refs: readonly MemberRef[]): Promise<Outcome[]> {
    for (let tries = 0; tries < maxTries; tries++) {
      const nowMs = now()
      const plan = await planned(command, refs, nowMs)
      const result = await commitPlan(command, plan, nowMs)
      if (result.ok) return outcomesOf(plan, result.written)
      requireOwnChecks(command, result.failed)
    }
    throw new KvistError('conflict', `${whatOf(command)} changed too often to be written`)
  }

  async function planned(command: WriteCommand, refs: readonly MemberRef[], nowMs: number): Promise<Plan> {
    const { operations, prepared } = command
    const found = refs.length === 0 ? [] : await engine.readMany(refs)
    return planOf(operations, refs, found, nowMs, (put, base) =>
      prepared === undefined ? transforms.apply(put, base, nowMs) : asAsked(put),
    )
  }

  async function commitPlan(command: WriteCommand, plan: Plan, nowMs: number): Promise<CommitResult> {
    const { checks = noChecks, durability, alongside } = command
    const own = alongside === undefined ? noChecks : (alongside.checks ?? noChecks)
    const touched = plan.writes.filter(({ op }) => op === 'renew')
    const writes = alongside === undefined ? plan.writes : orderedWith(alongside.writes(plan, nowMs), plan)
    if (writes.length === 0 && checks.length === 0) return { ok: true, written: [] }
    onTouch(touched)
    const result = await engine.commit(
      commitOf([...checks, ...own, ...plan.checks], writes, nowMs, durability),
    )
    onTouch(touched)
    if (!result.ok || alongside === undefined) return result
    const written = new Map(writes.map((write, i) => [write, result.written[i]!]))
    return { ok: true, written: plan.writes.map((write) => written.get(write)!) }
  }

  async function put(
    ref: MemberRef,
    content: NewContent,
    condition?: Condition,
    prepared?: 'prepared',
  ): Promise<Stored> {
    if (condition === undefined && (prepared !== undefined || !transforms.has(ref.collection)))
      return putPlain(asAsked(putOf(ref, content)))
    const operation: Operation = { ...putOf(ref, content), condition }
    const [outcome] = await execute({ operations: [operation], prepared })
    return outcome!
  }

  async function putPlain(write: Put): Promise<Stored> {
    const [written] = writtenOf(await engine.commit(commitOf(noChecks, [write], now(), undefined)))
    const { revision, createdAtMs, clock, existed } = written!
    return { revision, createdAtMs, clock, existed, expiresAtMs: write.expiresAtMs }
  }

  async function commit(
    writes: readonly (Write | Renew)[],
    { durability, nowMs = now() }: CommitOptions = {},
  ): Promise<readonly Written[]> {
    const commit = commitOf(noChecks, writes, nowMs, durability)
    return writtenOf(await engine.commit(writes.length === 1 ? commit : { ...commit, apart: true }))
  }

  async function replicate(writes: readonly ForeignWrite[]): Promise<readonly Written[]> {
    const nowMs = now()
    for (const { origin } of writes) requireSaneOrigin(origin, nowMs)
    return commit(writes, { nowMs })
  }

  async function write(
    writes: readonly Write[],
    { durability, prepared }: WriteOptions = {},
  ): Promise<readonly Written[]> {
    const options = durability === undefined ? {} : { durability }
    if (prepared !== undefined || !writes.some(isTransformed)) return commit(writes, options)
    const nowMs = now()
    const ready = writes.map((one) => (one.op === 'put' ? transforms.apply(one, null, nowMs) : one))
    return commit(await Promise.all(ready), options)
  }

  async function putAll(
    collection: string,
    members: readonly (NewContent & { key: string })[],
  ): Promise<Rejected[]> {
    const nowMs = now()
    const puts = members.map((member) => putOf({ collection, key: member.key }, member))
    if (!transforms.has(collection)) {
      await commit(puts.map(asAsked))
      return []
    }
    const applied = await Promise.allSettled(puts.map(async (one) => transforms.apply(one, null, nowMs)))
    const ready = applied.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []))
    if (ready.length > 0) await commit(ready)
    return applied.flatMap((one, index) => {
      if (one.status === 'fulfilled') return []
      if (one.reason instanceof KvistError) return [{ index, error: one.reason }]
      throw one.reason
    })
  }

  return {
    execute,
    put,
    async prepare(ref, content, otherwise) {
      const { value, contentType, flags, expiresAtMs } = await transforms.apply(
        putOf(ref, content),
        null,
        now(),
        otherwise,
      )
      return { value, contentType, flags, expiresAtMs }
    },
    async delete({ collection, key }, condition) {
      const write: Delete = { op: 'delete', collection, key, cause: 'delete' }
      if (condition === undefined) return (await commit([write]))[0]!.existed
      const [outcome] = await execute({ operations: [{ op: 'delete', collection, key, condition }] })
      return outcome!.existed
    },
    async patch({ collection, key }, patch, condition, expiresAtMs = null) {
      const operation: Operation = { op: 'patch', collection, key, patch, condition, expiresAtMs }
      const [outcome] = await execute({ operations: [operation] })
      return outcome!
    },
    async touch({ collection, key }, expiresAtMs, condition) {
      const operation: Operation = { op: 'touch', collection, key, expiresAtMs, condition }
      const [outcome] = await execute({ operations: [operation] })
      return outcome!.revision === 0 ? null : outcome!
    },
    async update({ collection, key }, decide, durability) {
      const operation: Operation = { op: 'update', collection, key, decide }
      const [outcome] = await execute({ operations: [operation], durability })
      return outcome!.isWritten ? outcome! : null
    },
    write,
    putAll,
    replicate,
    commit,
  }
}

/**
 * The puts and deletes of a plan, then these writes, then the renewals: so the revisions before those of the writes are known
 * from theirs (replay.ts). A renewal may come last: what is put or deleted in the same commit has its expiry already.
 */
function orderedWith(writes: readonly Write[], plan: Plan): (Write | Renew)[] {
  const renewals = plan.writes.filter(({ op }) => op === 'renew')
  return [...plan.writes.filter(({ op }) => op !== 'renew'), ...writes, ...renewals]
}

/** Throws where it is a check of the command's own that failed, and not what the command relied on. */
function requireOwnChecks(
  { checks = noChecks, alongside }: WriteCommand,
  { collection, key, revision }: MemberRef & { readonly revision: number | null },
): void {
  const failed = [...checks, ...(alongside?.checks ?? noChecks)].find(
    (check) => check.collection === collection && check.key === key && check.revision !== revision,
  )
  if (failed === undefined) return
  throw new KvistError('precondition_failed', checkDetail(failed, revision), { collection, key, revision })
}

function checkDetail({ collection, key, revision: wanted }: Check, revision: number | null): string {
  const is = revision === null ? 'does not exist' : `is at revision ${revision}`
  return `${collection}/${key} ${is}, and not ${wanted === null ? 'missing' : `at revision ${wanted}`}`
}

function whatOf({ operations }: WriteCommand): string {
  return operations.length === 1 ? operations[0]!.key : 'members of the batch'
}

/** Of a commit without checks, which cannot fail one. */
function writtenOf(result: CommitResult): readonly Written[] {
  if (!result.ok) throw new Error('a commit without checks cannot fail one')
  return result.written
}

function commitOf(
  checks: readonly Check[],
  writes: readonly (Write | Renew)[],
  nowMs: number,
  durability: Durability | undefined,
): Commit {
  return durability === undefined ? { checks, writes, nowMs } : { checks, writes, nowMs, durability }
}
