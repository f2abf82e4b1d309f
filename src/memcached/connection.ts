import type { MaybePromise, Write, Written } from '../core/engine.ts'
import { nextTurn } from '../core/turn.ts'
import { Answers } from './answers.ts'
import { hasRules } from './change.ts'
import type { Command } from './command.ts'
import { execute } from './execute.ts'
import { failureLine, isOwnFault } from './failures.ts'
import { answerPlain, plainWrite } from './plain-writes.ts'
import { isPressed, type Port, type Session, smallBytes } from './port.ts'
import { CommandParser } from './protocol.ts'
import { maxAnswerBytes } from './read.ts'
import type { Order, Orderer } from './writer.ts'

/** What a connection needs of a socket; Bun's has it. */
export interface Wire {
  /** Sends as much as there is room for and says how much that was; less than 0 when nobody is there any more. */
  write(bytes: Uint8Array): number
  /** No more will be sent; what comes is still read. */
  shutdown(): void
  terminate(): void
  pause(): void
  resume(): void
}

/** What a connection may have on its way to the store. */
const maxInFlightBytes = 4 * 1024 * 1024
/** Commands that are taken before other connections have their turn. */
const commandsPerTurn = 2000
/** A connection that has more to work on than this reads no more. */
const maxWaitingBytes = 256 * 1024
/** What a write takes beside its value. */
const writeBytes = 256

/**
 * One client. Its commands take effect and are answered in their order. Plain writes are sent on without waiting for
 * those before them, so that a pipeline of them shares its way to disk with what other connections write; every
 * other command waits until the writes before it are done, and is done before the next one begins.
 */
export class Connection implements Session, Orderer {
  readonly port: Port
  readonly out = new Answers()
  /** When the client last sent or took something, in ticks of the port. */
  heardAtTick: number
  private readonly wire: Wire
  private readonly parser: CommandParser

  /** Plain writes that are on their way to the store. */
  private inFlight = 0
  private inFlightBytes = 0
  /** A command that waits for the writes before it. */
  private held: Command | null = null
  private isBusy = false
  private isScheduled = false
  private isPaused = false
  private loggedIn: boolean
  private roomAsked: (() => void) | null = null
  private heldBytes = 0

  /** No more commands will come: the client has said so, or the server stops. */
  private inputEnded = false
  /** No more commands are taken: the client asked for the end, or cannot be followed further. */
  private isClosing = false
  /** Everything is said; what still comes is not listened to. */
  private isEnded = false
  isGone = false

  constructor(port: Port, wire: Wire) {
    this.port = port
    this.wire = wire
    this.parser = new CommandParser(port.settings.maxValueBytes)
    this.heardAtTick = port.tick
    this.loggedIn = port.mayEnter === null
  }

  /** What the client has sent. The bytes must not change afterwards. */
  receive(bytes: Uint8Array): void {
    this.port.counts.bytes_read += bytes.length
    this.heardAtTick = this.port.tick
    if (this.inputEnded || this.isEnded) return
    this.parser.push(bytes)
    this.run()
  }

  /** There is room to send more. */
  drained(): void {
    this.run()
  }

  /** What has come in whole is still done and answered, then the connection ends. */
  endInput(): void {
    this.inputEnded = true
    this.run()
  }

  /** The socket is closed. Commands under way go on; nobody hears of what becomes of them. */
  gone(): void {
    this.isGone = true
    this.isEnded = true
    this.roomAsked?.()
    this.port.heldBytes -= this.heldBytes
    this.heldBytes = 0
  }

  terminate(): void {
    this.wire.terminate()
  }

  /** Says a line, ahead of the end. */
  turnAway(line: string): void {
    this.out.line(line)
    this.isClosing = true
    this.run()
  }

  /**
   * What the connection waits for: `us` (the store), `reading` (the client, to take its answers), `rest` (the client,
   * to finish what it began), `close` (the client, to close), or `command`, nothing in particular.
   */
  waitsFor(): 'us' | 'reading' | 'rest' | 'close' | 'command' {
    if (this.isEnded) return 'close'
    if (this.out.byteLength > 0) return 'reading'
    if (this.isBusy || this.inFlight > 0 || this.isScheduled) return 'us'
    return this.parser.isMidCommand || !this.loggedIn ? 'rest' : 'command'
  }

  async room(): Promise<boolean> {
    this.send()
    this.regulate()
    await nextTurn()
    while (!this.isGone && this.out.byteLength >= maxAnswerBytes) {
      await new Promise<void>((resolve) => {
        this.roomAsked = resolve
      })
    }
    return !this.isGone
  }

  private run(): void {
    if (this.isGone) return
    this.take()
    this.send()
    this.regulate()
    this.endIfDone()
  }

  private take(): void {
    for (let count = 0; this.mayTake(); count++) {
      if (count === commandsPerTurn) {
        this.runLater()
        break
      }
      const command = this.held ?? this.parser.next()
      this.held = null
      if (command === null) break
      if (!this.begin(command)) {
        this.held = command
        break
      }
    }
  }

  private mayTake(): boolean {
    return !this.isBusy && !this.isClosing && !this.isEnded && this.out.byteLength < maxAnswerBytes
  }

  private runLater(): void {
    if (this.isScheduled) return
    this.isScheduled = true
    setImmediate(() => {
      this.isScheduled = false
      this.run()
    })
  }

  /** False when the command has to wait for the writes before it. */
  private begin(command: Command): boolean {
    if (!this.loggedIn) {
      this.logIn(command)
      return true
    }
    const write = plainWrite(command, this.port)
    if (write !== null && !hasRules(this.port.db, this.port.collection)) return this.order(command, write)
    if (this.inFlight > 0) return false
    if (write !== null) this.start(command, () => this.writeAlone(command, write))
    else if (command.kind === 'quit') this.isClosing = true
    else {
      this.start(command, () => execute(this, command))
      if (command.kind === 'refused' && command.closes) this.isClosing = true
    }
    return true
  }

  private async writeAlone(command: Command, write: Write): Promise<void> {
    const { db, durability, counts } = this.port
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

  /** As with memcached, a client that asked for no reply hears of no failure either. */
  private fail(command: Command, error: unknown): void {
    if (isOwnFault(error)) this.port.onError(error)
    const silent = ('noreply' in command && command.noreply) || (command.kind === 'refused' && command.silent)
    if (!silent) this.out.line(failureLine(error))
  }

  private order(command: Command, write: Write): boolean {
    const bytes = writeBytes + (write.op === 'put' ? write.value.length : 0)
    const isTooMuch = this.inFlightBytes + bytes > maxInFlightBytes || isPressed(this.port)
    if (this.inFlight > 0 && isTooMuch) return false
    this.inFlight++
    this.inFlightBytes += bytes
    this.port.writer.add({ command, write, bytes, from: this })
    return true
  }

  written({ command, bytes }: Order, written: Written): void {
    this.inFlight--
    this.inFlightBytes -= bytes
    answerPlain(this.out, this.port.counts, command, written)
  }

  failed({ command, bytes }: Order, error: unknown): void {
    this.inFlight--
    this.inFlightBytes -= bytes
    this.fail(command, error)
  }

  heard(): void {
    this.run()
  }

  private send(): void {
    const { out, wire, port } = this
    for (let piece = out.peek(); piece.length > 0 && !this.isGone; piece = out.peek()) {
      const bytes = wire.write(piece)
      if (bytes <= 0) break
      out.consume(bytes)
      port.counts.bytes_written += bytes
      this.heardAtTick = port.tick
      if (bytes < piece.length) break
    }
    if (out.byteLength >= maxAnswerBytes) return
    this.roomAsked?.()
    this.roomAsked = null
    // Commands were left in the parser for want of room to answer them.
    if (this.held === null && this.parser.waitingBytes > 0 && this.mayTake()) this.runLater()
  }

  /** Keeps what the connection holds within its bounds, and tells the port how much that is. */
  private regulate(): void {
    const { parser, port } = this
    if (parser.unfinishedBytes > smallBytes) {
      if (!this.loggedIn) this.isClosing = true
      else if (isPressed(port)) this.abandonValue()
    }
    const held = parser.unfinishedBytes + parser.waitingBytes + this.inFlightBytes + this.out.byteLength
    port.heldBytes += held - this.heldBytes
    this.heldBytes = held
    const readsNoMore =
      !this.isEnded && parser.waitingBytes > (isPressed(port) ? smallBytes : maxWaitingBytes)
    if (readsNoMore === this.isPaused) return
    this.isPaused = readsNoMore
    if (readsNoMore) this.wire.pause()
    else this.wire.resume()
  }

  private abandonValue(): void {
    const refused = this.parser.abandonValue('SERVER_ERROR out of memory storing object')
    if (refused === null) return
    this.held = refused
    this.runLater()
  }

  private endIfDone(): void {
    if (this.isEnded || this.out.byteLength > 0) return
    const isDone =
      this.isClosing ||
      (this.inputEnded &&
        !this.isBusy &&
        !this.isScheduled &&
        this.held === null &&
        this.inFlight === 0 &&
        this.parser.waitingBytes === 0)
    if (!isDone) return
    this.isEnded = true
    this.heardAtTick = this.port.tick
    if (this.isPaused) this.wire.resume()
    this.wire.shutdown()
  }

  /** The port wants a token: nothing else is done until a client has shown it. */
  private logIn(command: Command): void {
    const { counts, mayEnter } = this.port
    if (command.kind === 'quit') {
      this.isClosing = true
    } else if (command.kind === 'refused') {
      this.isClosing = command.closes
      this.out.line(command.answer)
    } else if (command.kind !== 'store' || command.mode !== 'set') {
      this.out.line('CLIENT_ERROR unauthenticated')
    } else {
      counts.auth_cmds++
      const token = tokenOf(command.value)
      this.loggedIn = token !== null && (mayEnter?.(token) ?? true)
      if (!this.loggedIn) counts.auth_errors++
      this.out.line(this.loggedIn ? 'STORED' : 'CLIENT_ERROR authentication failure')
    }
  }
}

/** The token of a login: the value of a `set` is `<user> <token>`, whoever the user is. Null where it is not that. */
function tokenOf(value: Uint8Array): string | null {
  const text = Buffer.from(value).toString('latin1')
  return /^ *[\x21-\x7e]+ +([\x21-\x7e]+) *$/.exec(text)?.[1] ?? null
}
