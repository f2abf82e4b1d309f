import type { HybridClock } from '../../core/clock.ts'
import type { Check, Commit, CommitResult, Delete, Put, Renew, Write, Written } from '../../core/engine.ts'
import { type Committed, isExpired, jsonContentType, type Member, type Value } from '../../core/member.ts'
import { latestChange, memberOf, type State, store } from './state.ts'

/** Evaluates a commit and does it; nothing can fail between its first write and its last. */
export function applyCommit(
  state: State,
  clock: HybridClock,
  { checks, writes, nowMs }: Commit,
): { result: CommitResult; changes: Committed[] } {
  const changes: Committed[] = []
  for (const check of checks) {
    const revision = presentRevision(state, check, nowMs)
    if (revision === check.revision) continue
    const { collection, key } = check
    return { result: { ok: false, failed: { collection, key, revision } }, changes }
  }
  const knownRevision = state.lastRevision
  const written = writes.map((write) => {
    const existing = memberOf(latestChange(state, write))
    const existed = existing !== null && !isExpired(existing, nowMs)
    if (write.op === 'renew') {
      const isMeant = existed && existing.revision === write.ifRevision && write.ifRevision <= knownRevision
      return isMeant ? renew(state, changes, write, existing) : nothingDone
    }
    if (write.op === 'delete' && !mayDelete(write, existing, existed)) return nothingDone
    const revision = state.lastRevision + 1
    const createdAtMs = existed ? existing.createdAtMs : nowMs
    return apply(state, changes, write, { revision, createdAtMs, clock: clock.next(nowMs), existed })
  })
  return { result: { ok: true, written }, changes }
}

const nothingDone: Written = { revision: 0, createdAtMs: 0, clock: 0, existed: false }

function presentRevision(state: State, check: Check, nowMs: number): number | null {
  const member = memberOf(latestChange(state, check))
  return member === null || isExpired(member, nowMs) ? null : member.revision
}

function mayDelete(
  { ifRevision, ifExpiresAtMs }: Delete,
  existing: Member | null,
  existed: boolean,
): boolean {
  if (ifExpiresAtMs !== undefined && existing?.expiresAtMs !== ifExpiresAtMs) return false
  return ifRevision === undefined ? existed : existing?.revision === ifRevision
}

function renew(state: State, changes: Committed[], write: Renew, existing: Member): Written {
  const { collection, expiresAtMs } = write
  const member = { ...existing, expiresAtMs }
  store(state, { type: 'put', collection, member })
  changes.push({ type: 'renew', collection, member })
  const { revision, createdAtMs, clock } = existing
  return { revision, createdAtMs, clock, existed: true }
}

function apply(state: State, changes: Committed[], write: Write, written: Written): Written {
  const collection = state.collections.get(write.collection)?.name ?? copyOfText(write.collection)
  const change =
    write.op === 'put'
      ? ({ type: 'put', collection, member: memberFrom(write, written) } as const)
      : ({ type: write.cause, collection, tombstone: tombstoneFrom(write, written) } as const)
  state.lastRevision = written.revision
  store(state, change)
  changes.push(change)
  return written
}

function memberFrom(
  { key, value, contentType, flags, expiresAtMs }: Put,
  { revision, createdAtMs, clock }: Written,
): Member {
  return {
    key: copyOfText(key),
    value: copyOf(value),
    revision,
    createdAtMs,
    clock,
    node: '',
    expiresAtMs,
    contentType: contentType === jsonContentType ? jsonContentType : copyOfText(contentType),
    flags,
  }
}

function tombstoneFrom({ key, cause }: Delete, { revision, clock }: Written) {
  return { key: copyOfText(key), revision, cause, clock, node: '' }
}

function copyOf(value: Value): Value {
  return typeof value === 'string' ? copyOfText(value) : Uint8Array.prototype.slice.call(value)
}

/** A text cut out of a larger one, a request or a line of an import, keeps all of that in memory. */
function copyOfText(text: string): string {
  return Buffer.from(text).toString()
}
