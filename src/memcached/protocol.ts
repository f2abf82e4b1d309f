import {
  readCount,
  readDelete,
  readFlushAll,
  readGet,
  readGetAndTouch,
  readStats,
  readStore,
  readTouch,
  readUnknown,
  readVerbosity,
} from './classic.ts'
import type { Command, MetaStore, Refused, Store } from './command.ts'
import { refuse, refuseAndClose, responses } from './error-lines.ts'
import { Line, noBlock } from './line.ts'
import { readMetaCount, readMetaDebug, readMetaDelete, readMetaGet, readMetaStore } from './meta.ts'

/**
 * The memcached text protocol (doc/protocol.txt of memcached 1.6), from bytes to commands. Pure: no sockets, no
 * store, no clock. The way back is responses.ts and meta-responses.ts, what a command does to a member decide.ts.
 */

/** A command line, its `\r` counted and its `\n` not. Only the lines of the get family may be longer. */
export const maxLineBytes = 2048
/** A line of get, gets, gat or gats: four thousand keys of the largest size. */
export const maxGetLineBytes = 1024 * 1024

/** How far into a line the name of a get must begin for the line to be a long one. */
const maxLeadingSpaces = 100
const newline = 0x0a
const carriageReturn = 0x0d
const space = 0x20
/** A value grows from this; a client that announces much and sends nothing does not cost more. */
const firstValueBytes = 64 * 1024
const smallCarryBytes = 256
/** Making a view takes 0.35 µs, as long as copying so much. */
const leastViewBytes = 8 * 1024

const noBuffer = Buffer.alloc(0)

/** A command under its name. */
interface Row {
  readonly name: string
  readonly read: (line: Line, maxValueBytes: number) => Command
}

/** To add a command is one line here, and whatever `switch` on its kind no longer compiles. */
const rows: readonly Row[] = [
  { name: 'get', read: (line) => readGet(line, false) },
  { name: 'gets', read: (line) => readGet(line, true) },
  { name: 'gat', read: (line) => readGetAndTouch(line, false) },
  { name: 'gats', read: (line) => readGetAndTouch(line, true) },
  { name: 'set', read: (line, maxValueBytes) => readStore(line, 'set', maxValueBytes) },
  { name: 'add', read: (line, maxValueBytes) => readStore(line, 'add', maxValueBytes) },
  { name: 'replace', read: (line, maxValueBytes) => readStore(line, 'replace', maxValueBytes) },
  { name: 'append', read: (line, maxValueBytes) => readStore(line, 'append', maxValueBytes) },
  { name: 'prepend', read: (line, maxValueBytes) => readStore(line, 'prepend', maxValueBytes) },
  { name: 'cas', read: (line, maxValueBytes) => readStore(line, 'cas', maxValueBytes) },
  { name: 'delete', read: readDelete },
  { name: 'incr', read: (line) => readCount(line, true) },
  { name: 'decr', read: (line) => readCount(line, false) },
  { name: 'touch', read: readTouch },
  { name: 'flush_all', read: readFlushAll },
  { name: 'verbosity', read: readVerbosity },
  { name: 'version', read: () => ({ kind: 'version' }) },
  { name: 'stats', read: readStats },
  { name: 'quit', read: () => ({ kind: 'quit' }) },
  { name: 'mg', read: readMetaGet },
  { name: 'ms', read: readMetaStore },
  { name: 'md', read: readMetaDelete },
  { name: 'ma', read: readMetaCount },
  { name: 'me', read: readMetaDebug },
  { name: 'mn', read: () => ({ kind: 'metaNoop' }) },
]

/** The rows by what `nameCode` makes of their names; no two share one. */
const rowsByCode = new Map(
  rows.map((row) => [nameCode(row.name.length, (at) => row.name.charCodeAt(at)), row]),
)

/** The first four letters of a name and its length, in one number. */
function nameCode(length: number, letterAt: (at: number) => number): number {
  let code = length
  for (let i = 0; i < 4 && i < length; i++) code = code * 256 + letterAt(i)
  return code
}

function readCommand(line: Line, maxValueBytes: number, isFirst: boolean): Command {
  if (line.count === 0) return refuse(responses.unknown)
  if (isRequestLine(line, isFirst)) return { kind: 'quit' }
  const row = rowsByCode.get(nameCode(line.wordBytes(0), (at) => line.byteOf(0, at)))
  return row !== undefined && line.is(0, row.name) ? row.read(line, maxValueBytes) : readUnknown(line)
}

/**
 * The request line of HTTP. The rest of such a request is not read: a body that somebody else chose would give commands.
 * A later line of the get family may have a key that looks so.
 */
function isRequestLine(line: Line, isFirst: boolean): boolean {
  if (line.count < 3 || !line.beginsWith(line.count - 1, 'HTTP/')) return false
  return isFirst || !line.beginsWith(0, 'g')
}

/** A line that is longer than a line of its kind may be, as far as it is known. */
function isTooLong(bytes: Buffer, from: number, lineBytes: number): boolean {
  return lineBytes > maxLineBytes && (lineBytes > maxGetLineBytes || !isGetLine(bytes, from))
}

function isGetLine(bytes: Buffer, from: number): boolean {
  let at = from
  while (at < from + maxLeadingSpaces && bytes[at] === space) at++
  return /^g[ea]ts? /.test(bytes.toString('latin1', at, at + 5))
}

/**
 * Makes commands of the bytes of one connection: `push` what arrives, then take commands with `next` until it has
 * none. Commands come one at a time so that a listener can stop taking them while responses pile up.
 *
 * What is wrong with a request is a command too (`refused`); nothing throws. Between calls the parser holds what was
 * pushed and not yet taken, and of an unfinished command at most a line (`maxLineBytes`, or `maxGetLineBytes`) or
 * twice the part of its value that has arrived. Pushed bytes must not change afterwards: a value that makes up most
 * of them is handed on as a view.
 */
export class CommandParser {
  private readonly maxValueBytes: number
  private readonly line = new Line()

  /** What is being read, from `at` on, and what waits behind it. */
  private chunk: Buffer = noBuffer
  private at = 0
  private readonly waiting: Buffer[] = []
  private queuedBytes = 0

  /** The beginning of a line that no newline has ended yet. */
  private carry: Buffer = noBuffer
  private carryBytes = 0

  /** The command whose data block is being read, the block's length, and how much of block and `\r\n` is there. */
  private storing: Store | MetaStore | null = null
  private blockBytes = 0
  private blockRead = 0
  private blockIsBad = false

  /** How much of a refused command's data is still to be passed over. */
  private swallowBytes = 0
  private closed = false
  /** No line was read yet. */
  private isFirst = true

  /** A value larger than `maxValueBytes` is refused and swallowed. */
  constructor(maxValueBytes: number) {
    this.maxValueBytes = maxValueBytes
  }

  /** Bytes that were pushed and not parsed yet; a listener reads no more from its socket while this is large. */
  get waitingBytes(): number {
    return this.chunk.length - this.at + this.queuedBytes
  }

  /** What an unfinished command holds: its line so far, or the room made for its value. */
  get unfinishedBytes(): number {
    return this.carry.length + (this.storing?.value.length ?? 0)
  }

  /** A command has begun to come in, and there is more of it to come. */
  get isMidCommand(): boolean {
    return this.carryBytes > 0 || this.isMidBlock
  }

  /** More of a data block is to come. */
  get isMidBlock(): boolean {
    return this.storing !== null || this.swallowBytes > 0
  }

  /** Lets go of the value that is coming in: the rest of it is swallowed, as of one that is too large. Null for none. */
  abandonValue(response: string): Refused | null {
    const store = this.storing
    if (store === null) return null
    this.storing = null
    this.swallowBytes = this.blockBytes + 2 - this.blockRead
    const silent = store.kind === 'store' && store.noreply
    return {
      kind: 'refused',
      response,
      silent,
      closes: false,
      drops: store.mode === 'set' ? store.key : null,
    }
  }

  push(bytes: Uint8Array): void {
    if (this.closed || bytes.length === 0) return
    const chunk = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
    if (this.at < this.chunk.length) {
      this.waiting.push(chunk)
      this.queuedBytes += chunk.length
    } else {
      this.chunk = chunk
      this.at = 0
    }
  }

  /** The next command; null when it takes more bytes to make one, and for good after one that closes. */
  next(): Command | null {
    while (!this.closed && (this.at < this.chunk.length || this.nextChunk())) {
      const command = this.advance()
      if (command !== null) return command
    }
    return null
  }

  private nextChunk(): boolean {
    const chunk = this.waiting.shift()
    this.chunk = chunk ?? noBuffer
    this.at = 0
    if (chunk === undefined) {
      this.line.release()
      return false
    }
    this.queuedBytes -= chunk.length
    return true
  }

  /** Uses up some of the chunk; null when that did not complete a command. */
  private advance(): Command | null {
    if (this.swallowBytes > 0) {
      const bytes = Math.min(this.swallowBytes, this.chunk.length - this.at)
      this.swallowBytes -= bytes
      this.at += bytes
      return null
    }
    if (this.storing !== null) return this.readBlock(this.storing)
    return this.carryBytes === 0 ? this.readLine() : this.finishLine()
  }

  private readLine(): Command | null {
    const from = this.at
    const end = this.line.cut(this.chunk, from)
    const lineBytes = (end < 0 ? this.chunk.length : end) - from
    if (isTooLong(this.chunk, from, lineBytes)) return this.close(refuseAndClose(responses.longLine))
    if (end < 0) {
      this.keep(this.chunk.length)
      return null
    }
    this.at = end + 1
    return this.begin(this.readCommand())
  }

  private readCommand(): Command {
    const command = readCommand(this.line, this.maxValueBytes, this.isFirst)
    this.isFirst = false
    return command
  }

  /** A line of which the beginning came earlier. */
  private finishLine(): Command | null {
    const found = this.chunk.indexOf(newline, this.at)
    const end = found < 0 ? this.chunk.length : found
    const lineBytes = this.carryBytes + end - this.at
    if (lineBytes > maxGetLineBytes) return this.close(refuseAndClose(responses.longLine))
    this.keep(found < 0 ? end : end + 1)
    if (isTooLong(this.carry, 0, lineBytes)) return this.close(refuseAndClose(responses.longLine))
    if (found < 0) return null
    this.line.cut(this.carry.subarray(0, this.carryBytes), 0)
    const command = this.readCommand()
    this.carryBytes = 0
    if (this.carry.length > maxLineBytes) this.carry = noBuffer
    return this.begin(command)
  }

  /** Copies the chunk's bytes up to `end` behind the beginning of the line. */
  private keep(end: number): void {
    const bytes = this.carryBytes + end - this.at
    if (bytes > this.carry.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(smallCarryBytes, bytes, this.carry.length * 2))
      this.carry.copy(larger, 0, 0, this.carryBytes)
      this.carry = larger
    }
    this.chunk.copy(this.carry, this.carryBytes, this.at, end)
    this.carryBytes = bytes
    this.at = end
  }

  /** What follows from a line: the data block to read or to swallow, or the end. */
  private begin(command: Command): Command | null {
    const bytes = this.line.blockBytes
    if (bytes !== noBlock) {
      if (command.kind === 'store' || command.kind === 'metaStore') {
        this.storing = command
        this.blockBytes = bytes
        this.blockRead = 0
        this.blockIsBad = false
        return this.readBlock(command)
      }
      this.swallowBytes = bytes + 2
    }
    return command.kind === 'quit' ? this.close(command) : command
  }

  private readBlock(store: Store | MetaStore): Command | null {
    const { chunk, at, blockBytes } = this
    const end = at + blockBytes
    if (this.blockRead > 0 || end + 2 > chunk.length) return this.readBlockPart(store)
    this.storing = null
    this.at = end + 2
    if (chunk[end] !== carriageReturn || chunk[end + 1] !== newline) return refuseBadBlock(store)
    store.value = copyOrView(chunk, at, blockBytes)
    return store
  }

  /** A data block that came in pieces: the value grows as they come, then the `\r\n`. */
  private readBlockPart(store: Store | MetaStore): Command | null {
    const { chunk, blockBytes } = this
    const bytes = Math.min(blockBytes - this.blockRead, chunk.length - this.at)
    if (bytes > 0) {
      this.growValue(store, this.blockRead + bytes)
      chunk.copy(store.value, this.blockRead, this.at, this.at + bytes)
      this.blockRead += bytes
      this.at += bytes
    }
    while (this.blockRead >= blockBytes && this.blockRead < blockBytes + 2 && this.at < chunk.length) {
      const expected = this.blockRead === blockBytes ? carriageReturn : newline
      if (chunk[this.at] !== expected) this.blockIsBad = true
      this.blockRead++
      this.at++
    }
    if (this.blockRead < blockBytes + 2) return null
    this.storing = null
    return this.blockIsBad ? refuseBadBlock(store) : store
  }

  /** Doubling keeps the copying linear; the last step is to the exact length, so that nothing is left over. */
  private growValue(store: Store | MetaStore, bytes: number): void {
    const held = store.value
    if (bytes <= held.length) return
    const larger = new Uint8Array(
      Math.min(this.blockBytes, Math.max(firstValueBytes, bytes, held.length * 2)),
    )
    larger.set(held)
    store.value = larger
  }

  private close(command: Command): Command {
    this.closed = true
    this.chunk = noBuffer
    this.carry = noBuffer
    this.at = 0
    this.waiting.length = 0
    this.queuedBytes = 0
    this.line.release()
    return command
  }
}

/** With meta commands errors always have a response. */
function refuseBadBlock(store: Store | MetaStore): Command {
  return refuse(responses.badDataChunk, store.kind === 'store' && store.noreply)
}

/** A view where the value is large and most of what it would keep alive; a copy otherwise. */
function copyOrView(chunk: Buffer, at: number, bytes: number): Uint8Array {
  if (bytes >= leastViewBytes && bytes * 2 > chunk.length)
    return new Uint8Array(chunk.buffer, chunk.byteOffset + at, bytes)
  const copy = new Uint8Array(bytes)
  chunk.copy(copy, 0, at, at + bytes)
  return copy
}
