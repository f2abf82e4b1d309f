import { maxBlockBytes, noBytes } from './classic.ts'
import type { Command, MetaStore, StoreMode } from './command.ts'
import { refuse, refuseLargeValue, responses } from './error-lines.ts'
import type { Line } from './line.ts'

/**
 * Parses the lines of the meta commands.
 *
 * Known flags are accepted with any command and ignored where they have no meaning, as in memcached. `P` and `L` are
 * for proxies: both are accepted and have no effect. `E`, which would choose the next cas unique, is refused as an
 * invalid flag, as in memcached up to 1.6.18: clients cannot choose kvist's revisions. The rules of the classic
 * commands for keys, numbers and skipped blocks apply here too (classic.ts).
 */
const maxWords = 19
/** The longest `O` flag with its token. */
const maxOpaqueWordBytes = 32

/** The flags of all meta commands; missing ones have the values of `noFlags`. */
interface Flags {
  key: string | null
  base64Key: string | null
  returns: string
  opaque: string | null
  opaqueTooLong: boolean
  quiet: boolean
  returnsValue: boolean
  recordsAccess: boolean
  invalidate: boolean
  removeValue: boolean
  touch: number | null
  vivify: number | null
  recache: number | null
  clientFlags: number
  casUnique: number | null
  mode: string
  delta: bigint
  initial: bigint
}

function noFlags(key: string | null): Flags {
  return {
    key,
    base64Key: null,
    returns: '',
    opaque: null,
    opaqueTooLong: false,
    quiet: false,
    returnsValue: false,
    recordsAccess: true,
    invalidate: false,
    removeValue: false,
    touch: null,
    vivify: null,
    recache: null,
    clientFlags: 0,
    casUnique: null,
    mode: '',
    delta: 1n,
    initial: 0n,
  }
}

/** Parses the flags from word `first` on. Returns an error line when one is malformed. */
function readFlags(line: Line, first: number): Flags | string {
  const flags = noFlags(line.key(1))
  let error: string | null = null
  let seenCapitals = 0
  let seenSmall = 0
  for (let i = first; i < line.count; i++) {
    const letter = line.byteOf(i, 0)
    const take = takers[letter]
    if (take === undefined) return letter < 127 ? responses.invalidFlag : responses.duplicateFlag
    // All known flags are letters: five bits distinguish the capital ones, and likewise the small ones.
    const bit = 1 << (letter & 31)
    if ((letter < 96 ? seenCapitals : seenSmall) & bit) return responses.duplicateFlag
    if (letter < 96) seenCapitals |= bit
    else seenSmall |= bit
    const fault = take(flags, line, i)
    if (fault === null) continue
    // `badFormat` is the weakest fault: it is reported only when no other flag has a fault.
    error = fault === responses.badFormat ? (error ?? fault) : fault
  }
  return error ?? flags
}

/** Parses one flag; returns an error line when it is malformed. */
type Taker = (flags: Flags, line: Line, index: number) => string | null

/** The parsers of flags, by character code. */
const takers: (Taker | undefined)[] = []

function flag(letters: string, take: Taker): void {
  for (const letter of letters) takers[letter.charCodeAt(0)] = take
}

flag('PL', () => null)
flag('u', (flags) => {
  flags.recordsAccess = false
  return null
})
flag('ksctflh', (flags, line, index) => {
  flags.returns += String.fromCharCode(line.byteOf(index, 0))
  return null
})
flag('O', (flags, line, index) => {
  flags.returns += 'O'
  flags.opaque = line.text(index, 1)
  flags.opaqueTooLong = line.wordBytes(index) > maxOpaqueWordBytes
  return null
})
flag('q', (flags) => {
  flags.quiet = true
  return null
})
flag('v', (flags) => {
  flags.returnsValue = true
  return null
})
flag('I', (flags) => {
  flags.invalidate = true
  return null
})
flag('x', (flags) => {
  flags.removeValue = true
  return null
})
flag('b', (flags, line) => {
  flags.base64Key = line.text(1)
  flags.key = line.base64Key(1)
  return flags.key === null ? responses.badKey : null
})
flag('T', (flags, line, index) => {
  flags.returns += 'T'
  flags.touch = line.integer(index, 1)
  return flags.touch === null ? responses.badToken : null
})
flag('N', (flags, line, index) => {
  flags.returns += 'N'
  flags.vivify = line.integer(index, 1)
  return flags.vivify === null ? responses.badToken : null
})
flag('R', (flags, line, index) => {
  flags.returns += 'R'
  flags.recache = line.integer(index, 1)
  return flags.recache === null ? responses.badToken : null
})
flag('C', (flags, line, index) => {
  flags.casUnique = line.casUnique(index, 1)
  return flags.casUnique === null ? responses.badToken : null
})
flag('F', (flags, line, index) => {
  const value = line.uint32(index, 1)
  flags.clientFlags = value ?? 0
  return value === null ? responses.badFormat : null
})
flag('M', (flags, line, index) => {
  flags.mode = line.text(index, 1)
  return flags.mode.length === 1 ? null : responses.badMode
})
flag('D', (flags, line, index) => {
  const value = line.uint64(index, 1)
  flags.delta = value ?? 1n
  return value === null ? responses.badMetaDelta : null
})
flag('J', (flags, line, index) => {
  const value = line.uint64(index, 1)
  flags.initial = value ?? 0n
  return value === null ? responses.badInitial : null
})

/** Parses `mg <key> <flags>*`. */
export function readMetaGet(line: Line): Command {
  if (line.count < 2) return refuse(responses.unknown)
  if (line.isLongKey(1)) return refuse(responses.badFormat)
  if (line.count > maxWords) return refuse(responses.manyGetFlags)
  const flags = readFlags(line, 2)
  if (typeof flags === 'string') return refuse(flags)
  const { key, base64Key, returns, opaque, quiet, returnsValue, recordsAccess, touch, vivify, recache } =
    flags
  if (key === null) return refuse(responses.badFormat)
  if (flags.opaqueTooLong) return refuse(responses.longOpaque)
  return {
    kind: 'metaGet',
    key,
    base64Key,
    returns,
    opaque,
    quiet,
    returnsValue,
    recordsAccess,
    touch,
    vivify,
    recache,
  }
}

const storeModes: Readonly<Record<string, StoreMode>> = {
  '': 'set',
  S: 'set',
  E: 'add',
  A: 'append',
  P: 'prepend',
  R: 'replace',
}

/** Parses `ms <key> <bytes> <flags>*`; the data block follows. */
export function readMetaStore(line: Line, maxValueBytes: number): Command {
  if (line.count < 2) return refuse(responses.unknown)
  const bytes = line.count > 2 ? line.integer(2) : null
  if (bytes === null || bytes < 0 || bytes > maxBlockBytes) return refuse(responses.badFormat)
  line.blockBytes = bytes
  if (line.isLongKey(1)) return refuse(responses.badFormat)
  if (line.count > maxWords) return refuse(responses.manyFlags)
  const flags = readFlags(line, 3)
  if (typeof flags === 'string') return refuse(flags)
  const mode = storeModes[flags.mode]
  if (mode === undefined) return refuse(responses.unknownStoreMode)
  if (flags.key === null) return refuse(responses.badFormat)
  if (flags.opaqueTooLong) return refuse(responses.longOpaque)
  if (bytes > maxValueBytes) return refuseLargeValue(false, flags.key)
  return metaStore(flags, flags.key, mode)
}

function metaStore(flags: Flags, key: string, asked: StoreMode): MetaStore {
  const adds = asked === 'append' || asked === 'prepend'
  const mode = flags.casUnique !== null && (asked === 'set' || asked === 'replace') ? 'cas' : asked
  return {
    kind: 'metaStore',
    mode,
    key,
    base64Key: flags.base64Key,
    returns: flags.returns,
    opaque: flags.opaque,
    quiet: flags.quiet,
    flags: flags.clientFlags,
    exptime: flags.touch ?? 0,
    casUnique: mode === 'add' || (adds && flags.casUnique === 0) ? null : flags.casUnique,
    invalidate: flags.invalidate && mode === 'cas',
    vivify: adds ? flags.vivify : null,
    value: noBytes,
  }
}

/** Parses `md <key> <flags>*`. */
export function readMetaDelete(line: Line): Command {
  const flags = readPlainFlags(line)
  if ('kind' in flags) return flags
  const { key, base64Key, returns, opaque, quiet, casUnique, invalidate, removeValue, touch } = flags
  if (key === null) return refuse(responses.badFormat)
  if (flags.opaqueTooLong) return refuse(responses.longOpaque)
  return {
    kind: 'metaDelete',
    key,
    base64Key,
    returns,
    opaque,
    quiet,
    casUnique,
    invalidate,
    removeValue,
    touch,
  }
}

/** Whether a mode of `ma` increments. */
const countModes: Readonly<Record<string, boolean>> = { '': true, I: true, '+': true, D: false, '-': false }

/** Parses `ma <key> <flags>*`. */
export function readMetaCount(line: Line): Command {
  const flags = readPlainFlags(line)
  if ('kind' in flags) return flags
  const { key, base64Key, returns, opaque, quiet, returnsValue, delta, touch, vivify, initial } = flags
  const up = countModes[flags.mode]
  if (up === undefined) return refuse(responses.unknownCountMode)
  if (key === null) return refuse(responses.badFormat)
  if (flags.opaqueTooLong) return refuse(responses.longOpaque)
  const casUnique = flags.casUnique === 0 ? null : flags.casUnique
  return {
    kind: 'metaCount',
    key,
    base64Key,
    returns,
    opaque,
    quiet,
    returnsValue,
    up,
    delta,
    casUnique,
    touch,
    vivify,
    initial,
  }
}

/** Parses the line of an `md` or `ma`, which report the same error for any malformed flag. */
function readPlainFlags(line: Line): Flags | Extract<Command, { kind: 'refused' }> {
  if (line.count < 2) return refuse(responses.unknown)
  if (line.isLongKey(1)) return refuse(responses.badFormat)
  if (line.count > maxWords) return refuse(responses.manyFlags)
  const flags = readFlags(line, 2)
  return typeof flags === 'string' ? refuse(responses.badFlags) : flags
}

/** Parses `me <key> [b]`; other flags are ignored. */
export function readMetaDebug(line: Line): Command {
  if (line.count < 2 || line.isLongKey(1)) return refuse(responses.badFormat)
  const encoded = line.count > 2 && line.is(2, 'b')
  const key = encoded ? line.base64Key(1) : line.key(1)
  if (key === null) return refuse(responses.badFormat)
  return { kind: 'metaDebug', key, base64Key: encoded ? line.text(1) : null }
}
