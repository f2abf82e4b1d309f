import type { Count, MetaCount, MetaDelete, MetaGet, MetaStore, StoreCommand } from './command.ts'
import type { WireValue } from './responses.ts'
import { expiresAtMs } from './times.ts'

/**
 * Decides the effect of a command on a member: pure functions from a command and the stored member to a write and an
 * outcome. The caller reads the member, calls them, commits the write on condition that the member is unchanged, and
 * otherwise starts again.
 */

/** An unexpired member as clients of the protocol see it. */
export interface Item {
  readonly value: WireValue
  /** The client's 32 bits, with the marks above them. */
  readonly flags: number
  /** Returned as the cas unique. */
  readonly revision: number
  readonly expiresAtMs: number | null
  readonly writtenAtMs: number
}

export interface ItemWrite {
  readonly value: WireValue
  readonly flags: number
  readonly expiresAtMs: number | null
}

/**
 * memcached marks items to be recached, so that one of many clients does it: stale, set by `md` and `ms` with the `I`
 * flag, and win sent, set when a client was chosen. kvist stores both in the two bits above the client's flags. So they
 * belong to this version of the member, survive restarts, are replicated, and are cleared by any other write.
 */
const staleMark = 2 ** 32
const winSentMark = 2 ** 33

/** Returns the client's part of a member's flags. */
export function clientFlags(flags: number): number {
  return flags % staleMark
}

export function isStale(flags: number): boolean {
  return Math.floor(flags / staleMark) % 2 === 1
}

export function isWinSent(flags: number): boolean {
  return Math.floor(flags / winSentMark) % 2 === 1
}

function withMarks(flags: number, stale: boolean, winSent: boolean): number {
  return clientFlags(flags) + (stale ? staleMark : 0) + (winSent ? winSentMark : 0)
}

const noValue = new Uint8Array(0)
const maxUint64 = 0xffff_ffff_ffff_ffffn
/** A longer value is never a counter. */
const maxCounterBytes = 1024

type StoreOutcome =
  | { readonly status: 'stored'; readonly write: ItemWrite }
  | { readonly status: 'notStored' | 'exists' | 'notFound' }

/**
 * Decides a storage command. Only a plain `set` is independent of `found`. An append that would exceed the limit is not
 * stored.
 */
export function decideStore(
  command: StoreCommand | MetaStore,
  found: Item | null,
  nowMs: number,
  maxValueBytes: number,
): StoreOutcome {
  const write = {
    value: command.value,
    flags: command.flags,
    expiresAtMs: expiresAtMs(command.exptime, nowMs),
  }
  switch (command.mode) {
    case 'set':
      return { status: 'stored', write }
    case 'add':
      return found === null ? { status: 'stored', write } : { status: 'notStored' }
    case 'replace':
      return found === null ? { status: 'notStored' } : { status: 'stored', write }
    case 'append':
    case 'prepend':
      return decideExtend(command, found, nowMs, maxValueBytes)
    case 'cas':
      return decideCas(command, found, write)
  }
}

/** Append and prepend keep the current flags and expiry. */
function decideExtend(
  command: StoreCommand | MetaStore,
  found: Item | null,
  nowMs: number,
  maxValueBytes: number,
): StoreOutcome {
  if (found === null) {
    if (command.kind === 'store' || command.vivify === null) return { status: 'notStored' }
    const { value, flags, vivify } = command
    return { status: 'stored', write: { value, flags, expiresAtMs: expiresAtMs(vivify, nowMs) } }
  }
  if (command.casUnique !== null && command.casUnique !== found.revision) return { status: 'exists' }
  const held = typeof found.value === 'string' ? Buffer.from(found.value) : found.value
  if (held.length + command.value.length > maxValueBytes) return { status: 'notStored' }
  const value = new Uint8Array(held.length + command.value.length)
  const appends = command.mode === 'append'
  value.set(held, appends ? 0 : command.value.length)
  value.set(command.value, appends ? held.length : 0)
  return {
    status: 'stored',
    write: { value, flags: clientFlags(found.flags), expiresAtMs: found.expiresAtMs },
  }
}

function decideCas(command: StoreCommand | MetaStore, found: Item | null, write: ItemWrite): StoreOutcome {
  if (found === null) return { status: 'notFound' }
  const casUnique = command.casUnique ?? 0
  if (casUnique === found.revision) return { status: 'stored', write }
  const invalidates = command.kind === 'metaStore' && command.invalidate
  if (!invalidates || casUnique <= 0 || casUnique > found.revision) return { status: 'exists' }
  const flags = withMarks(command.flags, true, isWinSent(found.flags))
  return { status: 'stored', write: { value: command.value, flags, expiresAtMs: found.expiresAtMs } }
}

type CountOutcome =
  | {
      readonly status: 'counted'
      readonly number: bigint
      readonly created: boolean
      readonly write: ItemWrite
    }
  | { readonly status: 'notFound' | 'exists' | 'notANumber' }

/**
 * Decides `incr`, `decr` and `ma`. Incrementing wraps around at 64 bits, decrementing stops at 0. The result is never
 * padded with spaces, as memcached's may be.
 */
export function decideCount(command: Count | MetaCount, found: Item | null, nowMs: number): CountOutcome {
  if (found === null) {
    if (command.kind === 'count' || command.vivify === null) return { status: 'notFound' }
    const write = {
      value: String(command.initial),
      flags: 0,
      expiresAtMs: expiryAfter(command, null, nowMs, true),
    }
    return { status: 'counted', number: command.initial, created: true, write }
  }
  // In memcached's order: an empty value is refused before the cas unique is checked, other non-numbers after.
  if (found.value.length === 0) return { status: 'notANumber' }
  if (command.kind === 'metaCount' && command.casUnique !== null && command.casUnique !== found.revision) {
    return { status: 'exists' }
  }
  const held = readCounter(found.value)
  if (held === null) return { status: 'notANumber' }
  const number = command.up
    ? BigInt.asUintN(64, held + command.delta)
    : held > command.delta
      ? held - command.delta
      : 0n
  const expiry =
    command.kind === 'count' ? found.expiresAtMs : expiryAfter(command, found.expiresAtMs, nowMs, false)
  const write = { value: String(number), flags: found.flags, expiresAtMs: expiry }
  return { status: 'counted', number, created: false, write }
}

/**
 * Parses a value as an unsigned 64-bit counter as C does: optional white space first, and anything after white space at
 * the end. Null when it is none.
 */
function readCounter(value: WireValue): bigint | null {
  if (value.length > maxCounterBytes) return null
  const text = typeof value === 'string' ? value : Buffer.from(value).toString('latin1')
  const digits = /^[ \t\n\v\f\r]*\+?0*([0-9]{1,20})(?:[ \t\n\v\f\r]|$)/.exec(text)?.[1]
  if (digits === undefined) return null
  const number = BigInt(digits)
  return number > maxUint64 ? null : number
}

/** A miss, or a hit with the member as it was found or the empty one created for the client. */
type MetaGetOutcome =
  | { readonly status: 'miss' }
  | {
      readonly status: 'hit'
      readonly item: Item
      readonly created: boolean
      /** The client wins: it is the one that should recache the value. */
      readonly won: boolean
      /** A new expiry or mark that must be committed before the response; null without a change. */
      readonly write: ItemWrite | null
    }

export function decideMetaGet(command: MetaGet, found: Item | null, nowMs: number): MetaGetOutcome {
  if (found === null) {
    if (command.vivify === null) return { status: 'miss' }
    const item = { value: noValue, flags: 0, revision: 0, expiresAtMs: null, writtenAtMs: nowMs }
    const expiry = expiryAfter(command, null, nowMs, true)
    const write = { value: noValue, flags: withMarks(0, false, true), expiresAtMs: expiry }
    return { status: 'hit', item, created: true, won: true, write }
  }
  const stale = isStale(found.flags)
  const winSent = isWinSent(found.flags)
  const won = !winSent && (stale || runsOut(command, found.expiresAtMs, nowMs))
  if (!won && command.touch === null) {
    return { status: 'hit', item: found, created: false, won, write: null }
  }
  const expiry = expiryAfter(command, found.expiresAtMs, nowMs, false)
  const flags = withMarks(found.flags, stale, winSent || won)
  const write = { value: found.value, flags, expiresAtMs: expiry }
  return { status: 'hit', item: found, created: false, won, write }
}

/** Whether less time is left than the `R` flag asks for, by the expiry that the flags before it set. */
function runsOut(command: MetaGet, foundExpiresAtMs: number | null, nowMs: number): boolean {
  if (command.recache === null) return false
  const before = command.returns.slice(0, command.returns.indexOf('R'))
  const expiry = before.includes('T') ? expiresAtMs(command.touch ?? 0, nowMs) : foundExpiresAtMs
  const recacheAtMs = expiresAtMs(command.recache, nowMs)
  return expiry !== null && recacheAtMs !== null && expiry < recacheAtMs
}

/** Returns the expiry after the `T` and `N` flags, in their order; `N` counts only when it created the member. */
function expiryAfter(
  command: MetaGet | MetaCount,
  foundExpiresAtMs: number | null,
  nowMs: number,
  created: boolean,
): number | null {
  let expiry = foundExpiresAtMs
  for (const letter of command.returns) {
    if (letter === 'T') expiry = expiresAtMs(command.touch ?? 0, nowMs)
    if (letter === 'N' && created) expiry = expiresAtMs(command.vivify ?? 0, nowMs)
  }
  return expiry
}

type MetaDeleteOutcome =
  | { readonly status: 'deleted' }
  /** The member is kept, but marked or emptied. */
  | { readonly status: 'changed'; readonly write: ItemWrite }
  | { readonly status: 'notFound' | 'exists' }

export function decideMetaDelete(command: MetaDelete, found: Item | null, nowMs: number): MetaDeleteOutcome {
  if (found === null) return { status: 'notFound' }
  if (command.casUnique !== null && command.casUnique !== found.revision) return { status: 'exists' }
  if (!command.invalidate && !command.removeValue) return { status: 'deleted' }
  const flags = command.removeValue ? 0 : found.flags
  const write = {
    value: command.removeValue ? noValue : found.value,
    flags: withMarks(flags, command.invalidate, false),
    expiresAtMs: command.touch === null ? found.expiresAtMs : expiresAtMs(command.touch, nowMs),
  }
  return { status: 'changed', write }
}

/** Returns the write of `touch`, and of `gat` for each member found: only the expiry changes. */
export function touched(found: Item, exptime: number, nowMs: number): ItemWrite {
  return { value: found.value, flags: found.flags, expiresAtMs: expiresAtMs(exptime, nowMs) }
}
