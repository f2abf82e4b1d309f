import type { Command, StoreMode } from './command.ts'
import { EncodedGet, leastVisited, mostVisited } from './encoded-get.ts'
import { refuse, refuseLargeValue, responses } from './error-lines.ts'
import type { Line } from './line.ts'

/**
 * The longest data block, as in memcached. A line with a longer one is malformed and no data is skipped after it:
 * skipping that much would discard the client's commands for hours.
 */
export const maxBlockBytes = 2 ** 31 - 3

/** The placeholder of a value until its data block has arrived. */
export const noBytes = new Uint8Array(0)

/**
 * Parses the lines of the classic commands. Checks are in memcached's order, so that a line with several faults gets
 * the same response.
 *
 * Three things differ on purpose. Keys with control characters, which the document forbids and memcached accepts, are
 * refused, and so are keys that are not UTF-8, which kvist cannot store. Numbers are decimal and must fit: memcached
 * truncates them to 32 bits. And when a storage line is refused but its length is valid, the data block is skipped:
 * memcached parses the block as commands, which lets the author of a value inject commands.
 */
export function readGet(line: Line, withCas: boolean): Command {
  if (line.count < 2) return refuse(responses.unknown)
  const keys = line.count - 1
  const encoded = keys >= leastVisited && keys <= mostVisited ? line.encodedKeys(1) : null
  return encoded === null
    ? getCommand(line, 1, withCas, null)
    : new EncodedGet(encoded.bytes, encoded.offsets, withCas)
}

export function readGetAndTouch(line: Line, withCas: boolean): Command {
  if (line.count < 2) return refuse(responses.unknown)
  const touch = line.integer(1)
  if (touch === null) return refuse(responses.badExptime)
  return getCommand(line, 2, withCas, touch)
}

function getCommand(line: Line, first: number, withCas: boolean, touch: number | null): Command {
  const keys: string[] = []
  for (let i = first; i < line.count; i++) {
    const key = line.key(i)
    if (key === null) return refuse(responses.badFormat)
    keys.push(key)
  }
  return { kind: 'get', keys, withCas, touch }
}

/** Parses `<mode> <key> <flags> <exptime> <bytes> [<cas unique>] [noreply]`; the data block follows. */
export function readStore(line: Line, mode: StoreMode, maxValueBytes: number): Command {
  const words = mode === 'cas' ? 6 : 5
  if (line.count !== words && line.count !== words + 1) return refuse(responses.unknown)
  const noreply = line.noreply
  const bytes = line.integer(4)
  const fits = bytes !== null && bytes >= 0 && bytes <= maxBlockBytes
  if (fits) line.blockBytes = bytes
  const key = line.key(1)
  const flags = line.uint32(2)
  const exptime = line.integer(3)
  const casUnique = mode === 'cas' ? line.casUnique(5) : null
  if (key === null || flags === null || exptime === null || !fits) {
    return refuse(responses.badFormat, noreply)
  }
  if (mode === 'cas' && casUnique === null) return refuse(responses.badFormat, noreply)
  if (bytes > maxValueBytes) return refuseLargeValue(noreply, mode === 'set' ? key : null)
  return { kind: 'store', mode, key, flags, exptime, casUnique, noreply, value: noBytes }
}

/** Parses `delete <key> [0] [noreply]`; old clients send the delay 0. */
export function readDelete(line: Line): Command {
  if (line.count < 2 || line.count > 4) return refuse(responses.unknown)
  const noreply = line.count > 2 && line.noreply
  const delay = line.count > 2 && line.is(2, '0')
  const fits = line.count === 2 || (line.count === 3 ? delay || noreply : delay && noreply)
  if (!fits) return refuse(responses.deleteUsage, noreply)
  const key = line.key(1)
  if (key === null) return refuse(responses.badFormat, noreply)
  return { kind: 'delete', key, noreply }
}

export function readCount(line: Line, up: boolean): Command {
  if (line.count !== 3 && line.count !== 4) return refuse(responses.unknown)
  const noreply = line.noreply
  const key = line.key(1)
  if (key === null) return refuse(responses.badFormat, noreply)
  const delta = line.uint64(2)
  if (delta === null) return refuse(responses.badDelta, noreply)
  return { kind: 'count', key, up, delta, noreply }
}

export function readTouch(line: Line): Command {
  if (line.count !== 3 && line.count !== 4) return refuse(responses.unknown)
  const noreply = line.noreply
  const key = line.key(1)
  if (key === null) return refuse(responses.badFormat, noreply)
  const exptime = line.integer(2)
  if (exptime === null) return refuse(responses.badExptime, noreply)
  return { kind: 'touch', key, exptime, noreply }
}

/** Parses `flush_all [<delay>] [noreply]`. */
export function readFlushAll(line: Line): Command {
  if (line.count > 3) return refuse(responses.unknown)
  const noreply = line.noreply
  if (line.count === (noreply ? 2 : 1)) return { kind: 'flushAll', delay: 0, noreply }
  const delay = line.integer(1)
  if (delay === null) return refuse(responses.badExptime, noreply)
  return { kind: 'flushAll', delay, noreply }
}

export function readVerbosity(line: Line): Command {
  if (line.count !== 2 && line.count !== 3) return refuse(responses.unknown)
  const noreply = line.noreply
  if (line.uint32(1) === null) return refuse(responses.badFormat, noreply)
  return { kind: 'verbosity', noreply }
}

export function readStats(line: Line): Command {
  const args: string[] = []
  for (let i = 1; i < line.count; i++) args.push(line.text(i))
  return { kind: 'stats', args }
}

/**
 * Responds to an unknown command. A line that ends with an HTTP version ends the connection, as a request line does.
 */
export function readUnknown(line: Line): Command {
  if (line.count > 1 && line.beginsWith(line.count - 1, 'HTTP/')) return { kind: 'quit' }
  return refuse(responses.unknown)
}
