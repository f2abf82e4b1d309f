import type { Outcome } from './content.ts'
import type {
  Check,
  Commit,
  CommitResult,
  Durability,
  Engine,
  MaybePromise,
  MemberRef,
  Renew,
  Write,
} from './engine.ts'
import { KvistError } from './errors.ts'
import { keyedMutex } from './keyed-mutex.ts'
import type { Operation } from './operations.ts'
import { asAsked, outcomesOf, type Plan, planOf, refId, refsRead } from './plan.ts'
import { mayFit, type Quota, quotaExceeded } from './quota.ts'
import { putOf, type Transforms } from './transforms.ts'

/** Operations of a client, committed together or not at all. */
export interface WriteCommand {
  readonly operations: readonly Operation[]
  /** Checks that the client sent. A failed one rejects at once with `precondition_failed`. */
  readonly checks?: readonly Check[]
  readonly durability?: Durability | undefined
  /** The puts are stored as they are: they were transformed before. */
  readonly isTransformed?: boolean
  readonly alongside?: Alongside
}

/**
 * Writes to kvist's own collections that are committed together with a command: recorded responses, index entries,
 * counters. A command with these reads each of its members, and retries when one of them has changed.
 */
export interface Alongside {
  readonly checks?: readonly Check[]
  /** Called at each try. The puts and deletes of the plan are committed right before these writes. */
  writes(plan: Plan, nowMs: number): readonly Write[]
}

/** What the write gate needs to keep writes within quotas. */
export interface QuotaOptions {
  /** Returns the quotas of the collections in which these writes put members; undefined if there are none. */
  readonly quotasOf: (writes: readonly (Write | Renew)[]) => readonly Quota[] | undefined
  /** Deletes the expired members, which an engine counts until then. */
  readonly makeRoom: () => Promise<void>
}

export interface CommandOptions extends QuotaOptions {
  readonly commit: Engine['commit']
  readonly readMany: Engine['readMany']
  readonly transforms: Transforms
  readonly now: () => number
  /** Called before and after a commit that changes the expiry of these members: their buffered renewals are void. */
  readonly onTouch: (refs: readonly MemberRef[]) => void
}

/**
 * The tries of one command. Each failed try means that another command succeeded, so this many in a row mean heavy
 * contention.
 */
const maxTries = 1000
export const noChecks: readonly Check[] = []

/**
 * Returns a function that executes commands through the stages listed in writes.ts. Commands on the same member run one
 * after the other.
 */
export function commandExecutor(options: CommandOptions): (command: WriteCommand) => Promise<Outcome[]> {
  const { transforms, now } = options
  const exclusive = keyedMutex()
  return async (command) => {
    const { operations: asked, isTransformed = false, alongside } = command
    const isPlain = isTransformed || !asked.some(({ collection }) => transforms.has(collection))
    const operations = isPlain ? asked : await transformed(asked, transforms, now())
    const refs = refsRead(operations, alongside !== undefined)
    const run = () => tryUntilDone(options, { ...command, operations }, refs)
    return refs.length === 0 ? run() : exclusive(refs.map(refId), run)
  }
}

function transformed(
  operations: readonly Operation[],
  transforms: Transforms,
  nowMs: number,
): Promise<Operation[]> {
  return Promise.all(
    operations.map(async (operation, index) => {
      if (operation.op !== 'put') return operation
      const { condition } = operation
      const put = putOf(operation, operation)
      const ready = ofOperation(operations, index, () => transforms.apply(put, null, nowMs))
      return { ...(await ready), condition }
    }),
  )
}

/** Runs what belongs to one of several operations: an error for the client gets its index, as `operation`. */
function ofOperation<Result>(
  operations: readonly Operation[],
  index: number,
  work: () => MaybePromise<Result>,
): MaybePromise<Result> {
  if (operations.length === 1) return work()
  function fail(error: unknown): never {
    if (!(error instanceof KvistError)) throw error
    throw new KvistError(error.code, error.message, { ...error.extra, operation: index }, error.cause)
  }
  try {
    const result = work()
    return result instanceof Promise ? result.catch(fail) : result
  } catch (error) {
    fail(error)
  }
}

async function tryUntilDone(
  options: CommandOptions,
  command: WriteCommand,
  refs: readonly MemberRef[],
): Promise<Outcome[]> {
  let hasMadeRoom = false
  for (let tries = 0; tries < maxTries; tries++) {
    const nowMs = options.now()
    const plan = await planned(options, command, refs, nowMs)
    const result = await commitPlan(options, command, plan, nowMs)
    if (result.ok) return outcomesOf(plan, result.written)
    if ('failed' in result) requireOwnChecks(command, result.failed)
    else if (hasMadeRoom || !mayFit(result.exceeded)) throw quotaExceeded(result.exceeded)
    else {
      await options.makeRoom()
      hasMadeRoom = true
    }
  }
  throw new KvistError('conflict', `${whatOf(command)} changed too often to be written`)
}

async function planned(
  { readMany, transforms }: CommandOptions,
  command: WriteCommand,
  refs: readonly MemberRef[],
  nowMs: number,
): Promise<Plan> {
  const { operations, isTransformed } = command
  const found = refs.length === 0 ? [] : await readMany(refs)
  return planOf(operations, refs, found, nowMs, (put, base, index) =>
    isTransformed ? asAsked(put) : ofOperation(operations, index, () => transforms.apply(put, base, nowMs)),
  )
}

async function commitPlan(
  { commit, onTouch, quotasOf }: CommandOptions,
  command: WriteCommand,
  plan: Plan,
  nowMs: number,
): Promise<CommitResult> {
  const { checks = noChecks, durability, alongside } = command
  const own = alongside === undefined ? noChecks : (alongside.checks ?? noChecks)
  const touched = plan.writes.filter(({ op }) => op === 'renew')
  const writes = alongside === undefined ? plan.writes : orderedWith(alongside.writes(plan, nowMs), plan)
  if (writes.length === 0 && checks.length === 0) return { ok: true, written: [] }
  onTouch(touched)
  const allChecks = [...checks, ...own, ...plan.checks]
  const committing = commit(commitOf(allChecks, writes, nowMs, durability, quotasOf(plan.writes)))
  const result = await namingOperation(command, committing)
  onTouch(touched)
  if (!result.ok || alongside === undefined) return result
  const written = new Map(writes.map((write, i) => [write, result.written[i]!]))
  return { ok: true, written: plan.writes.map((write) => written.get(write)!) }
}

/** Adds to a `not_unique` error which of several operations gave the member its values. */
async function namingOperation<Result>(
  { operations }: WriteCommand,
  committing: Promise<Result>,
): Promise<Result> {
  try {
    return await committing
  } catch (error) {
    if (!(error instanceof KvistError) || error.code !== 'not_unique' || operations.length === 1) throw error
    const { collection, key } = error.extra
    const operation = operations.findLastIndex((one) => one.collection === collection && one.key === key)
    throw new KvistError(error.code, error.message, { ...error.extra, operation }, error.cause)
  }
}

/**
 * Returns the puts and deletes of a plan, then these writes, then the renewals. In this order the revisions of the
 * plan's writes can be computed from those of the writes that follow (replay.ts). Renewals may come last: a put or
 * delete in the same commit already carries its expiry.
 */
function orderedWith(writes: readonly Write[], plan: Plan): (Write | Renew)[] {
  const renewals = plan.writes.filter(({ op }) => op === 'renew')
  return [...plan.writes.filter(({ op }) => op !== 'renew'), ...writes, ...renewals]
}

/**
 * Throws `precondition_failed` if the failed check is one that the command brought, and returns if it guards a member
 * that was read.
 */
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

function checkDetail({ collection, key, revision: expected }: Check, revision: number | null): string {
  const is = revision === null ? 'does not exist' : `is at revision ${revision}`
  return `${collection}/${key} ${is}, and not ${expected === null ? 'missing' : `at revision ${expected}`}`
}

function whatOf({ operations }: WriteCommand): string {
  return operations.length === 1 ? operations[0]!.key : 'members of the batch'
}

export function commitOf(
  checks: readonly Check[],
  writes: readonly (Write | Renew)[],
  nowMs: number,
  durability: Durability | undefined,
  quotas?: readonly Quota[],
): Commit {
  const commit = durability === undefined ? { checks, writes, nowMs } : { checks, writes, nowMs, durability }
  return quotas === undefined ? commit : { ...commit, quotas }
}
