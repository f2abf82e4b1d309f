import type { MaybePromise, MemberRef } from '../core/engine.ts'
import type { Member } from '../core/member.ts'
import type { MemberVisitor } from '../core/member-visitor.ts'
import { maxReadTogether } from '../core/read-queue.ts'
import type { Decided, Decision } from './change.ts'
import type { Command, Get, MetaDebug, MetaGet } from './command.ts'
import { itemOf, wireRow, wireValue } from './contents.ts'
import { clientFlags, decideMetaGet, touched } from './decide.ts'
import { EncodedGet, leastVisited, mostVisited } from './encoded-get.ts'
import { CommandError } from './failures.ts'
import { respondMetaDebug, respondMetaHit, respondMetaMiss } from './meta-responses.ts'
import { type Responses, wireBytes } from './responses.ts'
import {
  type MemcachedState,
  type MemcachedStore,
  overMemoryLimit,
  type Session,
  smallBytes,
} from './state.ts'

/** Executes the commands that respond with values. */

/** A connection executes no further commands while this much output is unsent. */
export const maxUnsentBytes = 256 * 1024
/** The number of members that one command touches at once. */
const keysAtOnce = 100
const bytesAtOnce = 1024 * 1024

/** Commands that only read, unless the member of an `mg` is marked as stale. */
export type PlainRead = Get | MetaGet

/** Whether a command only reads, and at most as many members as one batched read. */
export function isPlainRead(command: Command): command is PlainRead {
  if (command.kind === 'get') return command.touch === null && command.keys.length <= maxReadTogether
  return (
    command.kind === 'metaGet' &&
    command.touch === null &&
    command.vivify === null &&
    command.recache === null
  )
}

export function keysOf(command: PlainRead): readonly string[] {
  return command.kind === 'get' ? command.keys : [command.key]
}

/** Responds to a command with the members that were read for it, from index `at` on. */
export function respondRead(
  session: Session,
  command: PlainRead,
  members: readonly (Member | null)[],
  at: number,
): MaybePromise<void> {
  if (command.kind === 'metaGet') {
    session.server.counts.cmd_meta++
    return respondMetaGet(session, command, members[at]!)
  }
  const { server, out } = session
  for (const [i, key] of command.keys.entries()) putFound(server, out, key, members[at + i]!, command.withCas)
  out.endOfList()
}

/** Whether a command is done by a visit. */
export function isVisit(command: Command): command is Get {
  if (command.kind !== 'get' || command.touch !== null) return false
  const count = countOf(command)
  return count >= leastVisited && count <= mostVisited
}

function countOf(command: Get): number {
  return command instanceof EncodedGet ? command.count : command.keys.length
}

/**
 * Responds to the first keys of a command: copies the values that the store has as bytes. Returns how many keys; null if the
 * store cannot be visited.
 */
export function visit({ server, out }: Session, command: Get): number | null {
  const { counts, accesses, collection } = server
  const { withCas } = command
  const refs =
    command instanceof EncodedGet
      ? command.refs(collection)
      : command.keys.map((key) => ({ collection, key }))
  let visited = 0
  const visitor: MemberVisitor = {
    stored(row) {
      const { revision } = row
      out.stored(wireRow(row), clientFlags(row.flags), withCas ? revision : null)
      countGet(server, true)
      accesses.record(revision)
      visited++
    },
    undo() {
      out.undo()
      visited--
      counts.cmd_get--
      counts.get_hits--
    },
    member(member, i) {
      putFound(server, out, refs[i]!.key, member, withCas)
      visited++
    },
  }
  try {
    return server.db.visitMany(refs, bytesAtOnce, visitor)
  } catch {
    // The key after those visited is read again, which responds with its error.
    return visited
  }
}

/** Responds to the keys after those visited. */
export function endVisit(session: Session, command: Get, visited: number): MaybePromise<void> {
  if (visited < countOf(command)) return get(session, command, visited)
  session.out.endOfList()
}

/**
 * Executes a `get` or `gets` in batches, because a line may name a hundred thousand keys: other connections are served
 * between batches.
 */
export async function get(session: Session, command: Get, from = 0): Promise<void> {
  const { server, out } = session
  const { keys, withCas } = command
  for (let at = from; at < keys.length; ) {
    const refs = keys.slice(at, at + maxReadTogether).map((key) => ({ collection: server.collection, key }))
    const members = await readSome(server.db, refs, Math.max(maxUnsentBytes - out.unsentBytes, 1))
    for (const [i, member] of members.entries()) putFound(server, out, refs[i]!.key, member, withCas)
    at += members.length
    if (at < keys.length && !(await session.room())) return
  }
  out.endOfList()
}

/** Reads members together; when that fails, reads only the first, so that those before a damaged one are returned. */
async function readSome(
  db: MemcachedStore,
  refs: readonly MemberRef[],
  maxBytes: number,
): Promise<(Member | null)[]> {
  try {
    return await db.readMany(refs, maxBytes)
  } catch {
    const { collection, key } = refs[0]!
    return [await db.get(collection, key)]
  }
}

function putFound(
  server: MemcachedState,
  out: Responses,
  key: string,
  found: Member | null,
  withCas: boolean,
): void {
  countGet(server, found !== null)
  if (found === null) return
  const value = wireValue(found.value)
  requireRoom(server, value.length)
  out.value(key, clientFlags(found.flags), value, withCas ? found.revision : null)
  server.accesses.record(found.revision)
}

function countGet({ counts }: MemcachedState, hit: boolean): void {
  counts.cmd_get++
  if (hit) counts.get_hits++
  else counts.get_misses++
}

function requireRoom(server: MemcachedState, bytes: number): void {
  if (bytes > smallBytes && overMemoryLimit(server))
    throw new CommandError('SERVER_ERROR out of memory writing get response')
}

/**
 * Executes `gat` and `gats`: touches each key separately, several concurrently, and responds in the order of the keys.
 */
export async function getAndTouch(session: Session, command: Get, exptime: number): Promise<void> {
  const { server, out } = session
  const { keys, withCas } = command
  for (let at = 0; at < keys.length; ) {
    const from = at
    const touching: Promise<Decided<null>>[] = []
    for (let bytes = 0; at < keys.length && at - from < keysAtOnce && bytes < bytesAtOnce; at++) {
      const found = await server.db.get(server.collection, keys[at]!)
      bytes += found?.value.length ?? 0
      const one = touchItem(session, command, keys[at]!, exptime)
      one.catch(() => {}) // awaited below, unless an error before that ends the command
      touching.push(one)
    }
    for (const [i, { found, revision }] of (await Promise.all(touching)).entries()) {
      countGet(server, found !== null)
      countTouch(server, found !== null)
      if (found === null) continue
      requireRoom(server, found.value.length)
      out.value(keys[from + i]!, clientFlags(found.flags), found.value, withCas ? revision : null)
      server.accesses.record(revision)
    }
    if (at < keys.length && !(await session.room())) return
  }
  out.endOfList()
}

/** Sets the expiry of a key's member; `found` is the member before. */
export function touchItem(
  session: Session,
  command: Command,
  key: string,
  exptime: number,
): Promise<Decided<null>> {
  return session.change(command, key, (found, nowMs): Decision<null> => {
    return { outcome: null, write: found === null ? null : touched(found, exptime, nowMs) }
  })
}

export function countTouch({ counts }: MemcachedState, hit: boolean): void {
  counts.cmd_touch++
  if (hit) counts.touch_hits++
  else counts.touch_misses++
}

/**
 * Executes an `mg`. Most need no write and are served from the member read; the others decide again on the member that
 * they replace.
 */
export function metaGet(session: Session, command: MetaGet): MaybePromise<void> {
  session.server.counts.cmd_meta++
  const found = session.server.db.get(session.server.collection, command.key)
  if (found instanceof Promise) return found.then((member) => respondMetaGet(session, command, member))
  return respondMetaGet(session, command, found)
}

function respondMetaGet(session: Session, command: MetaGet, member: Member | null): MaybePromise<void> {
  const { server, out } = session
  const nowMs = server.now()
  const outcome = decideMetaGet(command, member === null ? null : itemOf(member), nowMs)
  if (outcome.status === 'miss') {
    countGet(server, false)
    respondMetaMiss(out, command)
    return
  }
  if (outcome.write !== null) return changeMetaGet(session, command)
  countGet(server, true)
  if (command.returnsValue) requireRoom(server, wireBytes(outcome.item.value))
  const { revision } = outcome.item
  respondMetaHit(out, command, outcome, server.accesses.secondsAgo(revision), nowMs)
  if (command.recordsAccess) server.accesses.record(revision)
}

async function changeMetaGet(session: Session, command: MetaGet): Promise<void> {
  const { server, out } = session
  const done = await session.change(
    command,
    command.key,
    (found, nowMs): Decision<ReturnType<typeof decideMetaGet>> => {
      const outcome = decideMetaGet(command, found, nowMs)
      return { outcome, write: outcome.status === 'hit' ? outcome.write : null }
    },
  )
  const { outcome, revision, nowMs } = done
  countGet(server, done.found !== null)
  if (outcome.status === 'hit' && outcome.created) server.counts.total_items++
  if (outcome.status === 'miss') {
    respondMetaMiss(out, command)
    return
  }
  const item = revision === 0 ? outcome.item : { ...outcome.item, revision }
  const before = done.found?.revision ?? 0
  respondMetaHit(out, command, { ...outcome, item }, server.accesses.secondsAgo(before), nowMs)
  if (command.recordsAccess) server.accesses.record(item.revision)
  else server.accesses.carry(before, item.revision)
}

export function debug(session: Session, command: MetaDebug): MaybePromise<void> {
  session.server.counts.cmd_meta++
  const found = session.server.db.get(session.server.collection, command.key)
  if (found instanceof Promise) return found.then((member) => respondDebug(session, command, member))
  respondDebug(session, command, found)
}

function respondDebug({ server, out }: Session, command: MetaDebug, member: Member | null): void {
  if (member === null) out.line('EN')
  else {
    const fetchedSecondsAgo = server.accesses.secondsAgo(member.revision)
    respondMetaDebug(out, command, itemOf(member), fetchedSecondsAgo, server.now())
  }
}
