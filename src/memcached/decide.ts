import type { Count, MetaCount, MetaDelete, MetaGet, MetaStore, Store } from './command.ts'
import type { WireValue } from './responses.ts'
import { expiresAtMs } from './times.ts'

/**
 * Decides what a command does to a member: pure functions from a command and the stored member to the write and the
 * outcome. The caller reads the member, calls them, commits the write on condition that the member is still the same,
 * and starts again if it is not.
 */

/** An unexpired member as the protocol sees it. */
export interface Item {
  readonly value: WireValue
  /** The client's 32 bits, and above them the marks. */
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
 * memcached marks items that are to be fetched anew, so that of many clients one does it: stale, set by `md` and `ms`
 * with the `I` flag, and win sent, when a client has won it. kvist keeps both with the member, in
 * the two bits above the client's flags. So they live exactly as long as this version of it, over restarts and on
 * other nodes, and any write from elsewhere clears them, as it should.
 */
const staleMark = 2 ** 32
const winSentMark = 2 ** 33

/** The client's part of a member's flags. */
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
/** A longer value is no counter, whatever is in it. */
const maxCounterBytes = 1024

type StoreOutcome =
  | { readonly status: 'stored'; readonly write: ItemWrite }
  | { readonly status: 'notStored' | 'exists' | 'notFound' }

/** Only a plain `set` can do without what was found. An append that grows past the limit is not stored. */
export function decideStore(
  command: Store | MetaStore,
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

/** Append and prepend keep the flags and the expiry that are there. */
function decideExtend(
  command: Store | MetaStore,
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

function decideCas(command: Store | MetaStore, found: Item | null, write: ItemWrite): StoreOutcome {
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

/** Up wraps round at 64 bits, down stops at 0. The result is never padded with spaces, as memcached's may be. */
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
  // In memcached's order: that there is nothing to count comes before the cas unique, that it is no number after.
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

/** A value as a 64-bit counter, as C reads one: white space before it, and anything at all after white space. */
function readCounter(value: WireValue): bigint | null {
  if (value.length > maxCounterBytes) return null
  const text = typeof value === 'string' ? value : Buffer.from(value).toString('latin1')
  const digits = /^[ \t\n\v\f\r]*\+?0*([0-9]{1,20})(?:[ \t\n\v\f\r]|$)/.exec(text)?.[1]
  if (digits === undefined) return null
  const number = BigInt(digits)
  return number > maxUint64 ? null : number
}

/** A miss, or a response with the member as it was found, or the empty one that was made for the client. */
type MetaGetOutcome =
  | { readonly status: 'miss' }
  | {
      readonly status: 'hit'
      readonly item: Item
      readonly created: boolean
      /** The client wins: it is the one to fetch the value anew. */
      readonly won: boolean
      /** A new expiry or a mark that must be kept before the response goes out; null when nothing changes. */
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

/** The `R` flag: less time is left than it says, by the expiry that the flags before it leave. */
function runsOut(command: MetaGet, foundExpiresAtMs: number | null, nowMs: number): boolean {
  if (command.recache === null) return false
  const before = command.returns.slice(0, command.returns.indexOf('R'))
  const expiry = before.includes('T') ? expiresAtMs(command.touch ?? 0, nowMs) : foundExpiresAtMs
  const recacheAtMs = expiresAtMs(command.recache, nowMs)
  return expiry !== null && recacheAtMs !== null && expiry < recacheAtMs
}

/** The expiry that the `T` and `N` flags leave, in their order; `N` counts where the member was made by it. */
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
  /** Kept, but marked or emptied. */
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

/** `touch`, and what `gat` does to each member that it finds: all but the expiry stays. */
export function touched(found: Item, exptime: number, nowMs: number): ItemWrite {
  return { value: found.value, flags: found.flags, expiresAtMs: expiresAtMs(exptime, nowMs) }
}
