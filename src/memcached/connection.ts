import type { MaybePromise, Write, Written } from '../core/engine.ts'
import type { Member } from '../core/member.ts'
import { type MemberReader, maxReadTogether } from '../core/read-queue.ts'
import { nextTurn } from '../core/turn.ts'
import type { Activity, ProtocolConnection } from '../net/connections.ts'
import { Output } from '../net/output.ts'
import type { Socket } from '../net/socket.ts'
import { hasRules } from './change.ts'
import type { Command } from './command.ts'
import { execute } from './execute.ts'
import { failureLine, isOwnFault } from './failures.ts'
import { answerPlain, plainWrite } from './plain-writes.ts'
import { CommandParser } from './protocol.ts'
import { answerRead, isPlainRead, keysOf, maxUnsentBytes, type PlainRead } from './read.ts'
import { Responses } from './responses.ts'
import { type MemcachedState, overMemoryLimit, type Session, smallBytes } from './state.ts'
import type { PendingWrite, WriteClient } from './write-batcher.ts'

/**
 * What a connection is doing:
 *
 *     open ──▶ closing      no more commands are taken: the client said quit, or cannot be followed further
 *     open, closing ──▶ lingering    all is answered and our side is closed; input is dropped until the client closes
 *     any  ──▶ closed       the socket is gone
 */
type Phase = 'open' | 'closing' | 'lingering' | 'closed'

/** The first byte of all that a client of the binary protocol sends. */
const binaryMagic = 0x80

/** What one connection may have on its way to the store. */
const maxInFlightBytes = 4 * 1024 * 1024
/** Commands that are taken before other connections are served. */
const commandsPerTick = 2000
/** A connection with more input than this waiting is not read from. */
const maxWaitingBytes = 256 * 1024
/** What a write takes beside its value. */
const writeBytes = 256
/** How long a client may take to close when everything is sent. */
const lingerSeconds = 5

/**
 * One client. Its commands take effect and are answered in their order. Plain writes are sent on without waiting for
 * those before them, so that a pipeline of them shares its way to disk with what other connections write; every
 * other command waits until the writes before it are done, and is done before the next one begins.
 */
export class MemcachedConnection implements ProtocolConnection, Session, WriteClient {
  readonly server: MemcachedState
  readonly out: Responses
  private readonly socket: Socket
  private readonly output: Output
  private readonly parser: CommandParser

  private phase: Phase = 'open'
  private isLoggedIn: boolean
  /** The client has closed its side, or the server stops: what has come in whole is done, then the connection ends. */
  private inputClosed = false
  private isFirstInput = true
  private isPaused = false
  /** A command of a client that is logged in was done. */
  private wasServed = false

  /** Plain writes that are on their way to the store. */
  private inFlight = 0
  private inFlightBytes = 0
  /** Commands that were parsed and wait for those before them, the next one first. */
  private readonly deferred: Command[] = []
  /** A command that takes its time. */
  private isBusy = false
  /** `process` will be called when the tick ends. */
  private hasInput = false
  /** `run` will be called when other connections were served. */
  private isScheduled = false
  private roomListener: (() => void) | null = null

  /** The part of this connection in `MemcachedState.heldBytes`. */
  private heldBytes = 0
  lastActive: number

  constructor(server: MemcachedState, socket: Socket) {
    this.server = server
    this.socket = socket
    this.output = new Output(socket, server.ticks)
    this.out = new Responses(this.output)
    this.parser = new CommandParser(server.settings.maxValueBytes)
    this.lastActive = server.clock.seconds
    this.isLoggedIn = server.isAuthorized === null
  }

  // Events of the socket and of the listener.

  receive(bytes: Buffer): void {
    this.server.counts.bytes_read += bytes.length
    this.lastActive = this.server.clock.seconds
    if (this.inputClosed || this.isEnding()) return
    if (this.isFirstInput) {
      this.isFirstInput = false
      if (bytes[0] === binaryMagic) {
        this.server.onBinaryClient(this.socket.remoteAddress)
        this.close()
        return
      }
    }
    this.parser.push(bytes)
    if (this.hasInput) {
      this.updateBackpressure()
      return
    }
    this.hasInput = true
    this.server.ticks.scheduleInput(this)
  }

  process(): void {
    this.hasInput = false
    this.run()
  }

  drained(): void {
    this.lastActive = this.server.clock.seconds
    this.output.drained()
    this.run()
  }

  halfClosed(): void {
    this.inputClosed = true
    this.process()
  }

  finish(): void {
    this.halfClosed()
  }

  close(): void {
    this.socket.end()
  }

  /** Commands that are at work go on; their responses are dropped. */
  closed(): void {
    this.phase = 'closed'
    this.output.discard()
    this.roomListener?.()
    this.server.heldBytes -= this.heldBytes
    this.heldBytes = 0
  }

  checkTimeouts(): void {
    const { clock, settings, counts } = this.server
    const silentSeconds = clock.seconds - this.lastActive
    const waitsFor = this.waitsFor()
    if (waitsFor === 'close') {
      if (silentSeconds > lingerSeconds) this.socket.terminate()
    } else if (waitsFor === 'client') {
      if (silentSeconds <= settings.stallTimeoutSeconds) return
      counts.idle_kicks++
      this.socket.terminate()
    } else if (waitsFor === 'command' && settings.idleTimeoutSeconds > 0) {
      if (silentSeconds <= settings.idleTimeoutSeconds) return
      counts.idle_kicks++
      this.socket.end()
    }
  }

  get isFinished(): boolean {
    return this.isEnding()
  }

  get activity(): Activity {
    const waitsFor = this.waitsFor()
    if (waitsFor === 'close') return 'idle'
    if (!this.isLoggedIn) return 'new'
    if (!this.wasServed && !this.parser.isMidBlock) return 'new'
    return waitsFor === 'command' ? 'idle' : 'busy'
  }

  // For commands.

  async room(): Promise<boolean> {
    this.send()
    this.updateBackpressure()
    await nextTurn()
    while (this.phase !== 'closed' && this.out.unsentBytes >= maxUnsentBytes) {
      await new Promise<void>((resolve) => {
        this.roomListener = resolve
      })
    }
    return this.phase !== 'closed'
  }

  // For the writes.

  written({ command, bytes }: PendingWrite, written: Written): void {
    this.inFlight--
    this.inFlightBytes -= bytes
    answerPlain(this.out, this.server.counts, command, written)
  }

  failed({ command, bytes }: PendingWrite, error: unknown): void {
    this.inFlight--
    this.inFlightBytes -= bytes
    this.fail(command, error)
  }

  batchDone(): void {
    this.run()
  }

  // Commands.

  private run(): void {
    if (this.phase === 'closed') return
    this.takeCommands()
    this.send()
    this.updateBackpressure()
    this.endIfDone()
  }

  private runLater(): void {
    if (this.isScheduled) return
    this.isScheduled = true
    setImmediate(() => {
      this.isScheduled = false
      this.run()
    })
  }

  private isEnding(): boolean {
    return this.phase === 'lingering' || this.phase === 'closed'
  }

  private canTake(): boolean {
    return !this.isBusy && this.phase === 'open' && this.out.unsentBytes < maxUnsentBytes
  }

  private takeCommands(): void {
    for (let count = 0; this.canTake(); count++) {
      if (count === commandsPerTick) {
        this.runLater()
        break
      }
      const command = this.nextCommand()
      if (command === null) break
      if (!this.begin(command)) {
        this.deferred.unshift(command)
        break
      }
    }
  }

  private nextCommand(): Command | null {
    return this.deferred.shift() ?? this.parser.next()
  }

  /** False when the command has to wait for the writes before it. */
  private begin(command: Command): boolean {
    if (!this.isLoggedIn) {
      this.logIn(command)
      return true
    }
    this.wasServed = true
    const { db, collection } = this.server
    const write = plainWrite(command, this.server)
    if (write !== null && !hasRules(db, collection)) return this.beginWrite(command, write)
    if (this.inFlight > 0) return false
    if (isPlainRead(command)) this.beginReads(command)
    else if (write !== null) this.start(command, () => this.writeAlone(command, write))
    else if (command.kind === 'quit') this.phase = 'closing'
    else {
      this.start(command, () => execute(this, command))
      if (command.kind === 'refused' && command.closes) this.phase = 'closing'
    }
    return true
  }

  /** Reads the members of a command together with those of the reads behind it, and of other connections. */
  private beginReads(first: PlainRead): void {
    const commands = [first]
    let keys = keysOf(first).length
    for (let next = this.nextCommand(); next !== null; next = this.nextCommand()) {
      if (!isPlainRead(next) || keys + keysOf(next).length > maxReadTogether) {
        this.deferred.unshift(next)
        break
      }
      commands.push(next)
      keys += keysOf(next).length
    }
    const { collection, reads } = this.server
    const reader: MemberReader = {
      found: (members, from, count) => this.answerReads(commands, members, from, from + count),
    }
    this.isBusy = true
    for (const command of commands) {
      for (const key of keysOf(command)) reads.add({ collection, key }, reader)
    }
  }

  /** Answers commands as far as their members were read; the others are taken again, the first of all by itself. */
  private answerReads(
    commands: readonly PlainRead[],
    members: readonly (Member | null)[],
    from: number,
    to: number,
  ): void {
    this.isBusy = false
    let done = 0
    for (let at = from; done < commands.length && !this.isBusy; done++) {
      const command = commands[done]!
      const first = at
      at += keysOf(command).length
      if (at > to) break
      this.start(command, () => answerRead(this, command, members, first))
    }
    if (done === 0) this.start(commands[done++]!, () => execute(this, commands[0]!))
    this.deferred.unshift(...commands.slice(done))
    this.run()
  }

  private beginWrite(command: Command, write: Write): boolean {
    const bytes = writeBytes + (write.op === 'put' ? write.value.length : 0)
    const isTooMuch = this.inFlightBytes + bytes > maxInFlightBytes || overMemoryLimit(this.server)
    if (this.inFlight > 0 && isTooMuch) return false
    this.inFlight++
    this.inFlightBytes += bytes
    this.server.writes.add({ command, write, bytes, client: this })
    return true
  }

  private async writeAlone(command: Command, write: Write): Promise<void> {
    const { db, durability, counts } = this.server
    const [written] = await db.write([write], durability)
    answerPlain(this.out, counts, command, written!)
  }

  private start(command: Command, execute: () => MaybePromise<void>): void {
    try {
      const doing = execute()
      if (!(doing instanceof Promise)) return
      this.isBusy = true
      doing
        .catch((error) => this.fail(command, error))
        .then(() => {
          this.isBusy = false
          this.run()
        })
    } catch (error) {
      this.fail(command, error)
    }
  }

  /** As in memcached, a client that asked for no reply is not told of a failure either. */
  private fail(command: Command, error: unknown): void {
    if (isOwnFault(error)) this.server.onError(error)
    const silent = ('noreply' in command && command.noreply) || (command.kind === 'refused' && command.silent)
    if (!silent) this.out.line(failureLine(error))
  }

  /** Nothing else is done until the client has logged in. */
  private logIn(command: Command): void {
    const { counts, isAuthorized } = this.server
    if (command.kind === 'quit') {
      this.phase = 'closing'
    } else if (command.kind === 'refused') {
      if (command.closes) this.phase = 'closing'
      this.out.line(command.answer)
    } else if (command.kind !== 'store' || command.mode !== 'set') {
      this.out.line('CLIENT_ERROR unauthenticated')
    } else {
      counts.auth_cmds++
      const token = tokenOf(command.value)
      this.isLoggedIn = token !== null && (isAuthorized?.(token) ?? true)
      if (!this.isLoggedIn) counts.auth_errors++
      this.out.line(this.isLoggedIn ? 'STORED' : 'CLIENT_ERROR authentication failure')
    }
  }

  // Output and bounds.

  private send(): void {
    this.out.flush()
    this.server.counts.bytes_written += this.output.takeSentBytes()
    if (this.out.unsentBytes >= maxUnsentBytes) return
    this.roomListener?.()
    this.roomListener = null
    // Commands were left in the parser for want of room to answer them.
    if (this.deferred.length === 0 && this.parser.waitingBytes > 0 && this.canTake()) this.runLater()
  }

  /** Keeps what the connection holds within its bounds, and up to date in the sum of all. */
  private updateBackpressure(): void {
    const { parser, server } = this
    if (this.phase === 'open' && parser.unfinishedBytes > smallBytes) {
      if (!this.isLoggedIn) this.phase = 'closing'
      else if (overMemoryLimit(server)) this.abandonValue()
    }
    const held = parser.unfinishedBytes + parser.waitingBytes + this.inFlightBytes + this.out.unsentBytes
    server.heldBytes += held - this.heldBytes
    this.heldBytes = held
    const isFull =
      !this.isEnding() && parser.waitingBytes > (overMemoryLimit(server) ? smallBytes : maxWaitingBytes)
    if (isFull === this.isPaused) return
    this.isPaused = isFull
    if (isFull) this.socket.pause()
    else this.socket.resume()
  }

  private abandonValue(): void {
    const refused = this.parser.abandonValue('SERVER_ERROR out of memory storing object')
    if (refused === null) return
    this.deferred.push(refused)
    this.runLater()
  }

  private endIfDone(): void {
    if (this.isEnding() || this.out.unsentBytes > 0) return
    const isDone =
      this.phase === 'closing' ||
      (this.inputClosed &&
        !this.isBusy &&
        !this.isScheduled &&
        this.deferred.length === 0 &&
        this.inFlight === 0 &&
        this.parser.waitingBytes === 0)
    if (!isDone) return
    this.phase = 'lingering'
    this.lastActive = this.server.clock.seconds
    if (this.isPaused) this.socket.resume()
    this.socket.shutdown()
  }

  /**
   * What the connection waits for: `store`; `client`, to take its responses, to log in or to send the rest of what it has
   * begun; `close`, by the client; or `command`, the next one.
   */
  private waitsFor(): 'store' | 'client' | 'close' | 'command' {
    if (this.isEnding()) return 'close'
    if (this.out.unsentBytes > 0) return 'client'
    if (this.isBusy || this.inFlight > 0 || this.isScheduled) return 'store'
    return this.parser.isMidCommand || !this.isLoggedIn ? 'client' : 'command'
  }
}

/** The token of a login: the value of a `set` is `<user> <token>`, whoever the user is. Null where it is not that. */
function tokenOf(value: Uint8Array): string | null {
  const text = Buffer.from(value).toString('latin1')
  return /^ *[\x21-\x7e]+ +([\x21-\x7e]+) *$/.exec(text)?.[1] ?? null
}
