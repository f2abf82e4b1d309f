import type { HybridClock } from '../../core/clock.ts'
import type {
  Check,
  Commit,
  CommitResult,
  Delete,
  MemberRef,
  Put,
  Renew,
  Write,
  Written,
} from '../../core/engine.ts'
import {
  type Change,
  type Committed,
  isExpired,
  jsonContentType,
  type Member,
  type Tombstone,
  type Value,
} from '../../core/member.ts'
import { effectOf, type Origin, renewedOrigin, type StoredOrigin, withNodeId } from '../../core/origin.ts'
import type { Exceeded, Quota } from '../../core/quota.ts'
import { isLeftOut } from '../left-out.ts'
import { type SizeOf, type Staged, stagedChanges } from './quotas.ts'
import { latestChange, memberOf, type State, sizeOfCollection, storeChange } from './state.ts'

/** The state and inputs of one commit. */
interface Context {
  readonly state: State
  readonly clock: HybridClock
  readonly nodeId: string
  readonly nowMs: number
  /** The last revision before the commit. */
  readonly knownRevision: number
  readonly changes: Committed[]
  /** The changes of the commit that are not stored yet; null where each is stored at once. */
  staged: Staged | null
}

/**
 * Evaluates the checks of a commit and applies its writes. Nothing can fail between the first write and the last.
 * `sizeOf` returns the size of a collection that quotas apply to; that in `state`, if left out.
 */
export function applyCommit(
  state: State,
  clock: HybridClock,
  nodeId: string,
  commit: Commit,
  sizeOf: SizeOf = (collection) => sizeOfCollection(state, collection),
): { result: CommitResult; changes: readonly Committed[] } {
  const { checks, writes, nowMs, quotas } = commit
  for (const check of checks) {
    const found = checkedMember(state, check, nowMs)
    const revision = found?.revision ?? null
    const isSame =
      found === null || check.expiresAtMs === undefined || found.expiresAtMs === check.expiresAtMs
    if (revision === check.revision && isSame) continue
    const { collection, key } = check
    return { result: { ok: false, failed: { collection, key, revision } }, changes: [] }
  }
  const knownRevision = state.lastRevision
  const context: Context = { state, clock, nodeId, nowMs, knownRevision, changes: [], staged: null }
  if (quotas !== undefined) {
    return { result: applyWithin(context, commit, quotas, sizeOf), changes: context.changes }
  }
  return { result: { ok: true, written: applyInOrder(context, writes) }, changes: context.changes }
}

function applyInOrder(context: Context, writes: Commit['writes']): Written[] {
  const written: Written[] = []
  for (const write of writes)
    written.push(isLeftOut(write, written, context.knownRevision) ? nothingDone : applyWrite(context, write))
  return written
}

/** Applies the writes together or, with `apart`, each on its own, unless they would pass a quota. */
function applyWithin(
  context: Context,
  { writes, apart }: Commit,
  quotas: readonly Quota[],
  sizeOf: SizeOf,
): CommitResult {
  if (apart === undefined) return applyTogether(context, writes, quotas, sizeOf)
  const written = writes.map((write) => {
    const result = applyTogether(context, [write], quotas, sizeOf)
    return 'written' in result ? result.written[0]! : { ...nothingDone, exceeded: result.exceeded }
  })
  return { ok: true, written }
}

function applyTogether(
  context: Context,
  writes: Commit['writes'],
  quotas: readonly Quota[],
  sizeOf: SizeOf,
): Extract<CommitResult, { ok: true }> | { readonly ok: false; readonly exceeded: Exceeded } {
  const { state, changes, nowMs } = context
  const before = { revision: state.lastRevision, changes: changes.length }
  const staged = stagedChanges(state, nowMs, quotas, sizeOf)
  context.staged = staged
  const written = applyInOrder(context, writes)
  context.staged = null
  const exceeded = staged.exceeded()
  if (exceeded !== null) {
    state.lastRevision = before.revision
    changes.length = before.changes
    return { ok: false, exceeded }
  }
  for (const change of staged.changes) storeChange(state, change)
  return { ok: true, written }
}

function checkedMember(state: State, check: Check, nowMs: number): Member | null {
  const member = memberOf(latestChange(state, check))
  return member === null || (check.evenExpired !== true && isExpired(member, nowMs)) ? null : member
}

const nothingDone: Written = { revision: 0, createdAtMs: 0, clock: 0, existed: false }
const superseded: Written = { ...nothingDone, superseded: true }

/** The latest change of a member, those of the commit included. */
function latestOf({ state, staged }: Context, ref: MemberRef): Change | null {
  return staged === null ? latestChange(state, ref) : staged.latest(ref)
}

function keep({ state, staged, changes }: Context, change: Change, committed: Committed): void {
  if (staged === null) storeChange(state, change)
  else staged.add(change)
  changes.push(committed)
}

function applyWrite(context: Context, write: Write | Renew): Written {
  const { state, clock, nowMs, knownRevision } = context
  const existing = memberOf(latestOf(context, write))
  const existed = existing !== null && !isExpired(existing, nowMs)
  if (write.op === 'renew') {
    const isMeant = existed && existing.revision === write.ifRevision && write.ifRevision <= knownRevision
    return isMeant ? renew(context, write, existing) : nothingDone
  }
  if (write.op === 'delete' && !mayDelete(write, existing, existed)) return nothingDone
  const revision = state.lastRevision + 1
  if (write.origin !== undefined) return applyForeign(context, write, write.origin, revision, existed)
  const createdAtMs = existed ? existing.createdAtMs : nowMs
  const removedClock = clock.next(nowMs)
  if (write.op === 'delete' && write.cause === 'expire' && existing !== null) {
    const written = { revision, createdAtMs, clock: existing.clock, existed }
    return store(context, write, existing.node, written, removedClock)
  }
  return store(context, write, '', { revision, createdAtMs, clock: removedClock, existed }, removedClock)
}

/** Applies a write with an origin as far as it has an effect on the stored version. */
function applyForeign(
  context: Context,
  write: Write,
  { clock, node }: Origin,
  revision: number,
  existed: boolean,
): Written {
  const { nodeId, nowMs } = context
  const latest = latestOf(context, write)
  const expiresAtMs = write.op === 'put' ? write.expiresAtMs : undefined
  const stored = storedOrigin(latest, nodeId)
  const known = stored === null ? null : { ...stored, expiresAtMs: memberOf(latest)?.expiresAtMs }
  const effect = known === null ? 'replace' : effectOf({ clock, node, expiresAtMs }, known, nowMs)
  const versus = stored === null ? {} : { stored }
  if (effect === 'none') return { ...superseded, ...versus }
  context.clock.observe(clock)
  if (effect === 'renew') return { ...renew(context, write as Put, memberOf(latest)!), existed, ...versus }
  const createdAtMs = write.op === 'put' ? write.origin!.createdAtMs : 0
  const written = { revision, createdAtMs, clock, existed, ...versus }
  const removedClock = write.op === 'delete' ? context.clock.next(nowMs) : 0
  return store(context, write, node === nodeId ? '' : node, written, removedClock)
}

function storedOrigin(change: Change | null, nodeId: string): StoredOrigin | null {
  if (change === null) return null
  const { clock, node, revision } = change.type === 'put' ? change.member : change.tombstone
  return withNodeId({ clock, node, revision, isTombstone: change.type !== 'put' }, nodeId)
}

function mayDelete(write: Delete, existing: Member | null, existed: boolean): boolean {
  const { ifRevision, ifExpiresAtMs } = write
  if (ifExpiresAtMs !== undefined && existing?.expiresAtMs !== ifExpiresAtMs) return false
  if (ifRevision !== undefined) return existing?.revision === ifRevision
  // A delete from another node leaves a tombstone even where no member exists: an older put may arrive later.
  return existed || write.origin !== undefined
}

function renew(context: Context, write: Renew | Put, existing: Member): Written {
  const { collection, expiresAtMs } = write
  const origin = renewedOrigin(existing, expiresAtMs)
  context.clock.observe(origin.clock)
  const member = { ...existing, ...origin, expiresAtMs }
  keep(context, { type: 'put', collection, member }, { type: 'renew', collection, member })
  const { revision, createdAtMs, clock } = member
  return { revision, createdAtMs, clock, existed: true }
}

/** Stores a write. `removedClock` is the stamp of a removal by this node's clock. */
function store(
  context: Context,
  write: Write,
  node: string,
  written: Written,
  removedClock: number,
): Written {
  const { state } = context
  const collection = state.collections.get(write.collection)?.name ?? copyOfText(write.collection)
  const change =
    write.op === 'put'
      ? ({ type: 'put', collection, member: memberFrom(write, node, written) } as const)
      : ({
          type: write.cause,
          collection,
          tombstone: tombstoneFrom(write, node, written, removedClock),
        } as const)
  state.lastRevision = written.revision
  keep(context, change, change)
  return written
}

function memberFrom(
  { key, value, contentType, flags, expiresAtMs }: Put,
  node: string,
  { revision, createdAtMs, clock }: Written,
): Member {
  return {
    key: copyOfText(key),
    value: copyOf(value),
    revision,
    createdAtMs,
    clock,
    node,
    expiresAtMs,
    contentType: contentType === jsonContentType ? jsonContentType : copyOfText(contentType),
    flags,
  }
}

function tombstoneFrom(
  { key, cause }: Delete,
  node: string,
  { revision, clock }: Written,
  removedClock: number,
): Tombstone {
  return { key: copyOfText(key), revision, cause, clock, node, removedClock }
}

function copyOf(value: Value): Value {
  return typeof value === 'string' ? copyOfText(value) : Uint8Array.prototype.slice.call(value)
}

/** Copies a text: a substring of a request or of a line of an import would keep all of it in memory. */
function copyOfText(text: string): string {
  return Buffer.from(text).toString()
}
