import type { HybridClock } from '../../core/clock.ts'
import type { Check, Commit, CommitResult, Delete, Put, Renew, Write, Written } from '../../core/engine.ts'
import {
  type Change,
  type Committed,
  isExpired,
  jsonContentType,
  type Member,
  type Value,
} from '../../core/member.ts'
import { type Origin, type StoredOrigin, supersedes, withNodeId } from '../../core/origin.ts'
import { latestChange, memberOf, type State, storeChange } from './state.ts'

/** The state and inputs of one commit. */
interface Context {
  readonly state: State
  readonly clock: HybridClock
  readonly nodeId: string
  readonly nowMs: number
  /** The last revision before the commit. */
  readonly knownRevision: number
  readonly changes: Committed[]
}

/** Evaluates the checks of a commit and applies its writes. Nothing can fail between the first write and the last. */
export function applyCommit(
  state: State,
  clock: HybridClock,
  nodeId: string,
  { checks, writes, nowMs }: Commit,
): { result: CommitResult; changes: readonly Committed[] } {
  for (const check of checks) {
    const found = presentMember(state, check, nowMs)
    const revision = found?.revision ?? null
    const isSame =
      found === null || check.expiresAtMs === undefined || found.expiresAtMs === check.expiresAtMs
    if (revision === check.revision && isSame) continue
    const { collection, key } = check
    return { result: { ok: false, failed: { collection, key, revision } }, changes: [] }
  }
  const context: Context = { state, clock, nodeId, nowMs, knownRevision: state.lastRevision, changes: [] }
  const written = writes.map((write) => applyWrite(context, write))
  return { result: { ok: true, written }, changes: context.changes }
}

function presentMember(state: State, check: Check, nowMs: number): Member | null {
  const member = memberOf(latestChange(state, check))
  return member === null || isExpired(member, nowMs) ? null : member
}

const nothingDone: Written = { revision: 0, createdAtMs: 0, clock: 0, existed: false }
const superseded: Written = { ...nothingDone, superseded: true }

function applyWrite(context: Context, write: Write | Renew): Written {
  const { state, clock, nowMs, knownRevision } = context
  const existing = memberOf(latestChange(state, write))
  const existed = existing !== null && !isExpired(existing, nowMs)
  if (write.op === 'renew') {
    const isMeant = existed && existing.revision === write.ifRevision && write.ifRevision <= knownRevision
    return isMeant ? renew(context, write, existing) : nothingDone
  }
  if (write.op === 'delete' && !mayDelete(write, existing, existed)) return nothingDone
  const revision = state.lastRevision + 1
  if (write.origin !== undefined) return applyForeign(context, write, write.origin, revision, existed)
  const createdAtMs = existed ? existing.createdAtMs : nowMs
  return store(context, write, '', { revision, createdAtMs, clock: clock.next(nowMs), existed })
}

/** Applies a write with an origin only if it supersedes the stored version. */
function applyForeign(
  context: Context,
  write: Write,
  { clock, node }: Origin,
  revision: number,
  existed: boolean,
): Written {
  const { nodeId } = context
  const stored = storedOrigin(latestChange(context.state, write), nodeId)
  if (stored !== null && !supersedes({ clock, node, isTombstone: write.op === 'delete' }, stored)) {
    return superseded
  }
  context.clock.observe(clock)
  const createdAtMs = write.op === 'put' ? write.origin!.createdAtMs : 0
  return store(context, write, node === nodeId ? '' : node, { revision, createdAtMs, clock, existed })
}

function storedOrigin(change: Change | null, nodeId: string): StoredOrigin | null {
  if (change === null) return null
  const { clock, node } = change.type === 'put' ? change.member : change.tombstone
  return withNodeId({ clock, node, isTombstone: change.type !== 'put' }, nodeId)
}

function mayDelete(write: Delete, existing: Member | null, existed: boolean): boolean {
  const { ifRevision, ifExpiresAtMs } = write
  if (ifExpiresAtMs !== undefined && existing?.expiresAtMs !== ifExpiresAtMs) return false
  if (ifRevision !== undefined) return existing?.revision === ifRevision
  // A delete from another node leaves a tombstone even where no member exists: an older put may arrive later.
  return existed || write.origin !== undefined
}

function renew({ state, changes }: Context, write: Renew, existing: Member): Written {
  const { collection, expiresAtMs } = write
  const member = { ...existing, expiresAtMs }
  storeChange(state, { type: 'put', collection, member })
  changes.push({ type: 'renew', collection, member })
  const { revision, createdAtMs, clock } = existing
  return { revision, createdAtMs, clock, existed: true }
}

function store({ state, changes }: Context, write: Write, node: string, written: Written): Written {
  const collection = state.collections.get(write.collection)?.name ?? copyOfText(write.collection)
  const change =
    write.op === 'put'
      ? ({ type: 'put', collection, member: memberFrom(write, node, written) } as const)
      : ({ type: write.cause, collection, tombstone: tombstoneFrom(write, node, written) } as const)
  state.lastRevision = written.revision
  storeChange(state, change)
  changes.push(change)
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

function tombstoneFrom({ key, cause }: Delete, node: string, { revision, clock }: Written) {
  return { key: copyOfText(key), revision, cause, clock, node }
}

function copyOf(value: Value): Value {
  return typeof value === 'string' ? copyOfText(value) : Uint8Array.prototype.slice.call(value)
}

/** Copies a text: a substring of a request or of a line of an import would keep all of it in memory. */
function copyOfText(text: string): string {
  return Buffer.from(text).toString()
}
