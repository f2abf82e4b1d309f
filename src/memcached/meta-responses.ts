import type { MetaCount, MetaDebug, MetaDelete, MetaGet, MetaStore } from './command.ts'
import { clientFlags, type Item, isStale, isWinSent } from './decide.ts'
import { type Responses, wireBytes } from './responses.ts'
import { expiresAtMs, secondsLeft } from './times.ts'

/**
 * Writes the responses of the meta commands. Each suppresses the response that its command's `q` flag covers, and
 * repeats flags in the order in which they were sent.
 *
 * Different from memcached: a key is returned as sent, in base64 when it was sent so, however it was stored.
 */
type KeyedMeta = Pick<MetaGet, 'key' | 'base64Key' | 'opaque'>

/** The member of a response, and how it was found. */
interface Found {
  /** With the expiry before the command, and the revision after it. */
  readonly item: Item
  readonly created: boolean
}

/**
 * Writes `HD`, or `VA` with the value, for an `mg` that hit. `won` adds the flag that asks the client to recache the
 * value. `fetchedSecondsAgo` is null when the value was not fetched since it was set.
 */
export function respondMetaHit(
  out: Responses,
  command: MetaGet,
  found: Found & { readonly won: boolean },
  fetchedSecondsAgo: number | null,
  nowMs: number,
): void {
  const { item } = found
  const bytes = wireBytes(item.value)
  putStatus(out, command.returnsValue ? bytes : null)
  putReturns(out, command, found, bytes, fetchedSecondsAgo, nowMs)
  if (isWinSent(item.flags)) out.text(' Z')
  if (isStale(item.flags)) out.text(' X')
  if (found.won) out.text(' W')
  out.endLine()
  if (command.returnsValue) out.block(item.value, bytes)
}

/** Writes `EN` for an `mg` that missed; suppressed by `q`. */
export function respondMetaMiss(out: Responses, command: MetaGet): void {
  if (command.quiet) return
  out.text('EN')
  putKeyAndOpaque(out, command)
  out.endLine()
}

const storeStatus = { stored: 'HD', notStored: 'NS', exists: 'EX', notFound: 'NF' } as const

/** Writes the response to an `ms`; `q` suppresses `HD`. `revision` is the new one, 0 when nothing was stored. */
export function respondMetaStore(
  out: Responses,
  command: MetaStore,
  status: keyof typeof storeStatus,
  revision: number,
  storedBytes: number,
): void {
  if (command.quiet && status === 'stored') return
  out.text(storeStatus[status])
  for (const letter of command.returns) {
    if (letter === 'c') putNumber(out, ' c', revision)
    else if (letter === 's') putNumber(out, ' s', storedBytes)
    else putKeyOrOpaque(out, command, letter)
  }
  out.endLine()
}

const deleteStatus = { deleted: 'HD', changed: 'HD', exists: 'EX', notFound: 'NF' } as const

/** Writes the response to an `md`; `q` suppresses `HD`. */
export function respondMetaDelete(
  out: Responses,
  command: MetaDelete,
  status: keyof typeof deleteStatus,
): void {
  if (command.quiet && deleteStatus[status] === 'HD') return
  out.text(deleteStatus[status])
  putKeyAndOpaque(out, command)
  out.endLine()
}

/** Writes `HD`, or `VA` with the number, for an `ma` that counted; suppressed by `q` unless the member was created. */
export function respondMetaCounted(
  out: Responses,
  command: MetaCount,
  found: Found,
  number: bigint,
  nowMs: number,
): void {
  if (command.quiet && !found.created) return
  const text = String(number)
  putStatus(out, command.returnsValue ? text.length : null)
  putReturns(out, command, found, text.length, null, nowMs)
  out.endLine()
  if (command.returnsValue) out.line(text)
}

/** Writes the response to an `ma` that did not count. A value that is not a number has its own error line. */
export function respondMetaNotCounted(
  out: Responses,
  command: MetaCount,
  status: 'exists' | 'notFound',
): void {
  out.text(status === 'exists' ? 'EX' : 'NF')
  putKeyAndOpaque(out, command)
  out.endLine()
}

/**
 * Writes `ME`: `exp` and `la` in seconds, `exp` counted down below zero as in memcached and -1 for never, and slab
 * class 0.
 */
export function respondMetaDebug(
  out: Responses,
  command: MetaDebug,
  item: Item,
  fetchedSecondsAgo: number | null,
  nowMs: number,
): void {
  const exp = item.expiresAtMs === null ? -1 : -secondsLeft(item.expiresAtMs, nowMs)
  const size = Buffer.byteLength(command.key) + wireBytes(item.value)
  const la = fetchedSecondsAgo ?? secondsSince(item.writtenAtMs, nowMs)
  const fetch = fetchedSecondsAgo === null ? 'no' : 'yes'
  out.text('ME ')
  out.text(command.base64Key ?? command.key)
  out.line(` exp=${exp} la=${la} cas=${item.revision} fetch=${fetch} cls=0 size=${size}`)
}

function putStatus(out: Responses, valueBytes: number | null): void {
  if (valueBytes === null) out.text('HD')
  else putNumber(out, 'VA ', valueBytes)
}

function putReturns(
  out: Responses,
  command: MetaGet | MetaCount,
  found: Found,
  valueBytes: number,
  fetchedSecondsAgo: number | null,
  nowMs: number,
): void {
  const { item } = found
  const counts = command.kind === 'metaCount'
  let expiry = item.expiresAtMs
  for (const letter of command.returns) {
    if (letter === 'T') expiry = expiresAtMs(command.touch ?? 0, nowMs)
    else if (letter === 'N' && found.created) expiry = expiresAtMs(command.vivify ?? 0, nowMs)
    else if (letter === 't') out.text(` t${secondsLeft(expiry, nowMs)}`)
    else if (letter === 'c') putNumber(out, ' c', item.revision)
    else if (counts) putKeyOrOpaque(out, command, letter)
    else if (letter === 's') putNumber(out, ' s', valueBytes)
    else if (letter === 'f') putNumber(out, ' f', clientFlags(item.flags))
    else if (letter === 'h') out.text(fetchedSecondsAgo === null ? ' h0' : ' h1')
    else if (letter === 'l') putNumber(out, ' l', fetchedSecondsAgo ?? secondsSince(item.writtenAtMs, nowMs))
    else putKeyOrOpaque(out, command, letter)
  }
}

function putKeyAndOpaque(out: Responses, command: KeyedMeta & { readonly returns: string }): void {
  for (const letter of command.returns) putKeyOrOpaque(out, command, letter)
}

function putKeyOrOpaque(out: Responses, command: KeyedMeta, letter: string): void {
  if (letter === 'O') {
    out.text(' O')
    out.latin1(command.opaque ?? '')
  } else if (letter === 'k') {
    out.text(' k')
    out.text(command.base64Key ?? command.key)
    if (command.base64Key !== null) out.text(' b')
  }
}

function putNumber(out: Responses, before: string, number: number): void {
  out.text(before)
  out.number(number)
}

function secondsSince(atMs: number, nowMs: number): number {
  return Math.max(0, Math.floor((nowMs - atMs) / 1000))
}
