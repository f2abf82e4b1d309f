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
import type { Command, MetaStore, Refused, StoreCommand } from './command.ts'
import { refuse, refuseAndClose, responses } from './error-lines.ts'
import { Line, noBlock } from './line.ts'
import { readMetaCount, readMetaDebug, readMetaDelete, readMetaGet, readMetaStore } from './meta.ts'

/**
 * Parses the memcached text protocol (doc/protocol.txt of memcached 1.6), from bytes to commands. Pure: no sockets, no
 * store, no clock. Responses are written by responses.ts and meta-responses.ts; decide.ts determines the effect of
 * commands.
 */

/** The longest command line, with its `\r` and without its `\n`. Only lines of the get family may be longer. */
export const maxLineBytes = 2048
/** The longest line of get, gets, gat or gats: four thousand keys of the largest size. */
export const maxGetLineBytes = 1024 * 1024

/** The most spaces before the name of a get whose line may be long. */
const maxLeadingSpaces = 100
const newline = 0x0a
const carriageReturn = 0x0d
const space = 0x20
/**
 * The initial size of a value's buffer, so that a client that announces a large value and sends nothing costs no more.
 */
const firstValueBytes = 64 * 1024
const smallCarryBytes = 256
/** Creating a view takes 0.35 µs, as long as copying this many bytes. */
const leastViewBytes = 8 * 1024

const noBuffer = Buffer.alloc(0)

/** The name of a command and its parser. */
interface CommandReader {
  readonly name: string
  readonly read: (line: Line, maxValueBytes: number) => Command
}

/**
 * The commands. Adding one takes a line here, and a case in each `switch` on its kind, which otherwise does not
 * compile.
 */
const readers: readonly CommandReader[] = [
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

/** The commands by the `nameCode` of their name, which is unique. */
const readersByCode = new Map(
  readers.map((reader) => [nameCode(reader.name.length, (at) => reader.name.charCodeAt(at)), reader]),
)

/** Returns the first four letters of a name and its length as one number. */
function nameCode(length: number, letterAt: (at: number) => number): number {
  let code = length
  for (let i = 0; i < 4 && i < length; i++) code = code * 256 + letterAt(i)
  return code
}

function readCommand(line: Line, maxValueBytes: number, isFirst: boolean): Command {
  if (line.count === 0) return refuse(responses.unknown)
  if (isRequestLine(line, isFirst)) return { kind: 'quit' }
  const reader = readersByCode.get(nameCode(line.wordBytes(0), (at) => line.byteOf(0, at)))
  return reader !== undefined && line.is(0, reader.name)
    ? reader.read(line, maxValueBytes)
    : readUnknown(line)
}

/**
 * Whether a line is the request line of HTTP. The rest of such a request is not parsed, because its body could contain
 * commands chosen by somebody else. A later line of the get family may have a key that looks the same.
 */
function isRequestLine(line: Line, isFirst: boolean): boolean {
  if (line.count < 3 || !line.beginsWith(line.count - 1, 'HTTP/')) return false
  return isFirst || !line.beginsWith(0, 'g')
}

/** Whether a line, as far as it has arrived, exceeds the limit of its kind. */
function isTooLong(bytes: Buffer, from: number, lineBytes: number): boolean {
  return lineBytes > maxLineBytes && (lineBytes > maxGetLineBytes || !isGetLine(bytes, from))
}

function isGetLine(bytes: Buffer, from: number): boolean {
  let at = from
  while (at < from + maxLeadingSpaces && bytes[at] === space) at++
  return /^g[ea]ts? /.test(bytes.toString('latin1', at, at + 5))
}

/**
 * Parses the input of one connection into commands: `push` the bytes that arrive, then call `next` until it returns
 * null. Commands are returned one at a time, so that a listener can stop while responses wait.
 *
 * A malformed request is a command too (`refused`); nothing throws. Between calls the parser holds the bytes that are
 * not parsed yet, and of an incomplete command at most a line (`maxLineBytes`, or `maxGetLineBytes`) or twice the part
 * of its value that has arrived. Pushed bytes must not change afterwards: a value that makes up most of them is
 * returned as a view.
 */
export class CommandParser {
  private readonly maxValueBytes: number
  private readonly line = new Line()

  /** The chunk that is being parsed, from `at` on, and the chunks after it. */
  private chunk: Buffer = noBuffer
  private at = 0
  private readonly waiting: Buffer[] = []
  private queuedBytes = 0

  /** The beginning of an incomplete line. */
  private carry: Buffer = noBuffer
  private carryBytes = 0

  /**
   * The command whose data block is being read, the block's length, and how much of the block and its `\r\n` has been
   * read.
   */
  private storing: StoreCommand | MetaStore | null = null
  private blockBytes = 0
  private blockRead = 0
  private blockIsBad = false

  /** Bytes of a refused command's data that are still to be skipped. */
  private swallowBytes = 0
  private closed = false
  /** No line has been parsed yet. */
  private isFirst = true

  /** Values larger than `maxValueBytes` are refused and skipped. */
  constructor(maxValueBytes: number) {
    this.maxValueBytes = maxValueBytes
  }

  /** Bytes that were pushed and not parsed yet. A connection pauses its socket while they are many. */
  get waitingBytes(): number {
    return this.chunk.length - this.at + this.queuedBytes
  }

  /** The memory of an incomplete command: its line so far, or the buffer of its value. */
  get unfinishedBytes(): number {
    return this.carry.length + (this.storing?.value.length ?? 0)
  }

  /** Whether a command has arrived in part. */
  get isMidCommand(): boolean {
    return this.carryBytes > 0 || this.isMidBlock
  }

  /** Whether a data block has arrived in part. */
  get isMidBlock(): boolean {
    return this.storing !== null || this.swallowBytes > 0
  }

  /**
   * Abandons the value that is arriving: the rest of it is skipped, as if it were too large. Returns the refusal; null
   * without a value.
   */
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

  /** Returns the next command; null when it is incomplete, and always after a command that closes. */
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

  /** Parses a part of the chunk. Returns null when that completed no command. */
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

  /** Parses a line whose beginning arrived in an earlier chunk. */
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

  /** Appends the chunk's bytes up to `end` to the beginning of the line. */
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

  /** Continues after a line: reads or skips its data block, or closes. */
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

  private readBlock(store: StoreCommand | MetaStore): Command | null {
    const { chunk, at, blockBytes } = this
    const end = at + blockBytes
    if (this.blockRead > 0 || end + 2 > chunk.length) return this.readBlockPart(store)
    this.storing = null
    this.at = end + 2
    if (chunk[end] !== carriageReturn || chunk[end + 1] !== newline) return refuseBadBlock(store)
    store.value = copyOrView(chunk, at, blockBytes)
    return store
  }

  /** Reads a data block that arrives in pieces: the value, which grows with them, then the `\r\n`. */
  private readBlockPart(store: StoreCommand | MetaStore): Command | null {
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

  /** Grows the buffer of a value. Doubling keeps copying linear; the last step is to the exact length. */
  private growValue(store: StoreCommand | MetaStore, bytes: number): void {
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

/** Refuses a data block without its line end. Meta commands always get error responses. */
function refuseBadBlock(store: StoreCommand | MetaStore): Command {
  return refuse(responses.badDataChunk, store.kind === 'store' && store.noreply)
}

/** Returns a view when the value is large and most of the chunk that it would keep alive; a copy otherwise. */
function copyOrView(chunk: Buffer, at: number, bytes: number): Uint8Array {
  if (bytes >= leastViewBytes && bytes * 2 > chunk.length)
    return new Uint8Array(chunk.buffer, chunk.byteOffset + at, bytes)
  const copy = new Uint8Array(bytes)
  chunk.copy(copy, 0, at, at + bytes)
  return copy
}
