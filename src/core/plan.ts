import { requireCondition } from './condition.ts'
import type { Content, Outcome } from './content.ts'
import type { Check, MaybePromise, MemberRef, Put, Renew, Write, Written } from './engine.ts'
import { isExpired, type Member } from './member.ts'
import { type NewPut, numberIn, type Operation, type Resolved, readsMember, resolve } from './operations.ts'

/**
 * The writes that the operations of a command resolve to. Several operations on one member are resolved one after the
 * other, in their order, each on the result of the one before; the commit checks that the members they were resolved
 * against have not changed.
 */
export interface Plan {
  readonly writes: readonly (Write | Renew)[]
  /** Check that the members that were read have not changed. */
  readonly checks: readonly Check[]
  readonly operations: readonly PlannedOperation[]
}

/** An operation resolved, before its write is committed. */
export interface PlannedOperation {
  /** The existing member if it was read; null for none. */
  readonly current: Member | null
  /** The index of its write in `Plan.writes`; -1 if there is nothing to write. */
  readonly writeIndex: number
  /** The JSON pointer to the number of an increment; null for other operations. */
  readonly path: string | null
}

/** Transforms the put of an operation, given by its index, before it is stored (`Transforms.apply`). */
export type Transform = (put: NewPut, base: Content | null, index: number) => MaybePromise<Put>

/**
 * Resolves operations into a plan. `found` are the members that `refs` name, as they were read. Throws or rejects with
 * the error for the client.
 */
export async function planOf(
  operations: readonly Operation[],
  refs: readonly MemberRef[],
  found: readonly (Member | null)[],
  nowMs: number,
  transform: Transform,
): Promise<Plan> {
  const states = new Map<string, State>()
  const checks: Check[] = []
  for (const [i, { collection, key }] of refs.entries()) {
    const member = unexpired(found[i] ?? null, nowMs)
    states.set(refId({ collection, key }), { member, putIndex: -1 })
    const expiry = member === null ? {} : { expiresAtMs: member.expiresAtMs }
    checks.push({ collection, key, revision: member?.revision ?? null, ...expiry })
  }
  const writes: MaybePromise<Write | Renew>[] = []
  const planned: PlannedOperation[] = []
  for (const operation of operations) {
    const state = states.get(refId(operation))
    const now = state === undefined ? null : state.member
    const current = unexpired(now instanceof Promise ? await now : now, nowMs)
    if (operation.condition !== undefined) requireCondition(operation.condition, current)
    const resolved = resolve(operation, current, nowMs)
    const index = planned.length
    // A put was transformed before the members were read.
    const ready =
      operation.op === 'put' ? asAsked : (put: NewPut, base: Content | null) => transform(put, base, index)
    const writeIndex = addWrite(writes, resolved, state, ready)
    if (state !== undefined) advance(state, operation.key, writes, writeIndex, current)
    planned.push({ current, writeIndex, path: resolved.path ?? null })
  }
  return { writes: await allOf(writes), checks, operations: planned }
}

/** Resolves with all writes; returns them at once if none is being transformed. */
function allOf(writes: readonly MaybePromise<Write | Renew>[]): MaybePromise<(Write | Renew)[]> {
  return writes.some((write) => write instanceof Promise)
    ? Promise.all(writes)
    : (writes as (Write | Renew)[])
}

/** The state of a member after the operations so far. */
interface State {
  member: MaybePromise<Member | null>
  /** The index of the write that puts it; -1 for none. */
  putIndex: number
}

/** Returns a put with the expiry that it requests, whatever the default of its collection. */
export function asAsked(put: NewPut): Put {
  return put.expiresAtMs === 'never' ? { ...put, expiresAtMs: null } : (put as Put)
}

function addWrite(
  writes: MaybePromise<Write | Renew>[],
  { write, base }: Resolved,
  state: State | undefined,
  transform: (put: NewPut, base: Content | null) => MaybePromise<Put>,
): number {
  if (write === null) return -1
  if (write.op === 'renew' && state !== undefined && state.putIndex >= 0) {
    // A put has no revision before the commit that a renewal could name: set the expiry of the put instead.
    const put = writes[state.putIndex]!
    writes[state.putIndex] = withExpiry(put, write.expiresAtMs)
    return state.putIndex
  }
  const ready = write.op === 'put' ? transform(write, base) : write
  // Avoids an unhandled rejection: it is awaited later, and another one may fail before.
  if (ready instanceof Promise) ready.catch(() => {})
  return writes.push(ready) - 1
}

function withExpiry(
  write: MaybePromise<Write | Renew>,
  expiresAtMs: number | null,
): MaybePromise<Write | Renew> {
  if (write instanceof Promise) return write.then((ready) => withExpiry(ready, expiresAtMs))
  return write.op === 'delete' ? write : { ...write, expiresAtMs }
}

function advance(
  state: State,
  key: string,
  writes: readonly MaybePromise<Write | Renew>[],
  writeIndex: number,
  before: Member | null,
): void {
  if (writeIndex === -1) return
  const write = writes[writeIndex]!
  // Only puts are transformed.
  if (write instanceof Promise) {
    state.member = write.then((ready) => memberAfter(ready, key, before))
    state.member.catch(() => {})
    state.putIndex = writeIndex
    return
  }
  state.member = memberAfter(write, key, before)
  if (write.op !== 'renew') state.putIndex = write.op === 'put' ? writeIndex : -1
}

/**
 * Returns the member after a write; null after a delete. After a put it has revision 0, because its revision is not
 * known before the commit.
 */
function memberAfter(write: Write | Renew, key: string, before: Member | null): Member | null {
  if (write.op === 'delete') return null
  if (write.op === 'renew') return before === null ? null : { ...before, expiresAtMs: write.expiresAtMs }
  const { value, contentType, flags, expiresAtMs } = write
  const unknown = { revision: 0, createdAtMs: before?.createdAtMs ?? 0, clock: 0, node: '' }
  return { key, value, contentType, flags, expiresAtMs, ...unknown }
}

function unexpired(member: Member | null, nowMs: number): Member | null {
  return member === null || isExpired(member, nowMs) ? null : member
}

/** Returns the outcome of each operation from those of the committed writes. */
export function outcomesOf({ operations, writes }: Plan, written: readonly Written[]): Outcome[] {
  return operations.map(({ current, writeIndex, path }) => {
    if (writeIndex === -1) return outcomeOfNothing(current)
    const write = writes[writeIndex]!
    const value = write.op === 'put' && path !== null ? numberIn(write, path) : null
    // A renewal counts as done even if another write of the command made it needless.
    if (write.op === 'renew' && current !== null) {
      return { ...outcomeOfNothing(current), isWritten: true, expiresAtMs: write.expiresAtMs }
    }
    const done = written[writeIndex]!
    return { ...done, isWritten: done.revision !== 0, ...shownOf(write, current), value }
  })
}

function shownOf(write: Write | Renew, current: Member | null): Pick<Outcome, 'expiresAtMs' | 'contentType'> {
  if (write.op === 'delete') return { expiresAtMs: null, contentType: '' }
  const contentType = write.op === 'put' ? write.contentType : (current?.contentType ?? '')
  return { expiresAtMs: write.expiresAtMs, contentType }
}

const noMember = { revision: 0, createdAtMs: 0, clock: 0, expiresAtMs: null, contentType: '' }

/** Returns the outcome of an operation that wrote nothing. */
function outcomeOfNothing(current: Member | null): Outcome {
  const { revision, createdAtMs, clock, expiresAtMs, contentType } = current ?? noMember
  const existed = current !== null
  return { isWritten: false, revision, createdAtMs, clock, existed, expiresAtMs, contentType, value: null }
}

/** Returns the members that operations have to read, each once; with `all`, every member that they name. */
export function refsRead(operations: readonly Operation[], all: boolean): MemberRef[] {
  const refs = new Map<string, MemberRef>()
  for (const operation of operations) {
    if (all || readsMember(operation)) refs.set(refId(operation), operation)
  }
  return [...refs.values()]
}

/** Returns a name that is unique among all members. */
export function refId({ collection, key }: MemberRef): string {
  return `${collection}/${key}`
}
