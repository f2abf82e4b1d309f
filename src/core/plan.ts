import { requireCondition } from './condition.ts'
import type { Content, Outcome } from './content.ts'
import type { Check, MaybePromise, MemberRef, Put, Renew, Write, Written } from './engine.ts'
import { isExpired, type Member } from './member.ts'
import { type NewPut, numberIn, type Operation, type Resolved, readsMember, resolve } from './operations.ts'

/**
 * Operations as the writes that they come to. Several on one member are resolved one on the other, in their order; what
 * each relied on is checked when the writes are committed.
 */
export interface Plan {
  readonly writes: readonly (Write | Renew)[]
  /** Checks that the members that were read have not changed. */
  readonly checks: readonly Check[]
  readonly operations: readonly PlannedOperation[]
}

/** The outcome of an operation, before it is committed. */
export interface PlannedOperation {
  /** The member that it found, once it was read; null for none. */
  readonly current: Member | null
  /** Which of the writes it is; -1 where there is nothing to write. */
  readonly writeIndex: number
  /** Where its number is, of an increment. */
  readonly path: string | null
}

/** Makes of a put what is to be stored: see `Transforms.apply`. */
export type Transform = (put: NewPut, base: Content | null) => MaybePromise<Put>

/** `found` are the members that `refs` name, as they were read. Throws or rejects with the error for the client. */
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
    // A put was transformed before.
    const writeIndex = addWrite(writes, resolved, state, operation.op === 'put' ? asAsked : transform)
    if (state !== undefined) advance(state, operation.key, writes, writeIndex, current)
    planned.push({ current, writeIndex, path: resolved.path ?? null })
  }
  return { writes: await allOf(writes), checks, operations: planned }
}

/** Without transforms there is nothing to wait for. */
function allOf(writes: readonly MaybePromise<Write | Renew>[]): MaybePromise<(Write | Renew)[]> {
  return writes.some((write) => write instanceof Promise)
    ? Promise.all(writes)
    : (writes as (Write | Renew)[])
}

/** A member as the operations so far leave it. */
interface State {
  member: MaybePromise<Member | null>
  /** The write that puts it, of those so far; -1 for none. */
  putIndex: number
}

/** A put with what it asks for, whatever the collection has as its default. */
export function asAsked(put: NewPut): Put {
  return put.expiresAtMs === 'never' ? { ...put, expiresAtMs: null } : (put as Put)
}

function addWrite(
  writes: MaybePromise<Write | Renew>[],
  { write, base }: Resolved,
  state: State | undefined,
  transform: Transform,
): number {
  if (write === null) return -1
  if (write.op === 'renew' && state !== undefined && state.putIndex >= 0) {
    // The revision of a put is not known before it is done: it brings the expiry itself.
    const put = writes[state.putIndex]!
    writes[state.putIndex] = withExpiry(put, write.expiresAtMs)
    return state.putIndex
  }
  const ready = write.op === 'put' ? transform(write, base) : write
  // It is awaited later, and another may fail before.
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
  // What is transformed yet is a put.
  if (write instanceof Promise) {
    state.member = write.then((ready) => memberAfter(ready, key, before))
    state.member.catch(() => {})
    state.putIndex = writeIndex
    return
  }
  state.member = memberAfter(write, key, before)
  if (write.op !== 'renew') state.putIndex = write.op === 'put' ? writeIndex : -1
}

/** What a write leaves of a member. One that is put has no revision yet that anybody could know. */
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

/** The result of each operation, once its writes are done. */
export function outcomesOf({ operations, writes }: Plan, written: readonly Written[]): Outcome[] {
  return operations.map(({ current, writeIndex, path }) => {
    if (writeIndex === -1) return outcomeOfNothing(current)
    const write = writes[writeIndex]!
    const value = write.op === 'put' && path !== null ? numberIn(write, path) : null
    // A renewal that another write of the command makes needless is done all the same.
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

/** There was nothing to write: the member is what it was, or is not there. */
function outcomeOfNothing(current: Member | null): Outcome {
  const { revision, createdAtMs, clock, expiresAtMs, contentType } = current ?? noMember
  const existed = current !== null
  return { isWritten: false, revision, createdAtMs, clock, existed, expiresAtMs, contentType, value: null }
}

/** The members that operations depend on, each once. */
export function refsRead(operations: readonly Operation[], all: boolean): MemberRef[] {
  const refs = new Map<string, MemberRef>()
  for (const operation of operations) {
    if (all || readsMember(operation)) refs.set(refId(operation), operation)
  }
  return [...refs.values()]
}

/** A name of the member among all members. */
export function refId({ collection, key }: MemberRef): string {
  return `${collection}/${key}`
}
