import type { Principal } from '../auth/principal.ts'
import { nextTick } from '../core/next-tick.ts'
import { clientNetwork } from '../net/address.ts'
import { type Activity, lingerSeconds, type ProtocolConnection } from '../net/connections.ts'
import { InputPause } from '../net/input-pause.ts'
import { Output } from '../net/output.ts'
import type { Socket } from '../net/socket.ts'
import type { Decided, Decision } from './change.ts'
import type { Command } from './command.ts'
import type { Item } from './decide.ts'
import { CommandPipeline, type PipelineSession } from './pipeline.ts'
import { maxUnsentBytes } from './read.ts'
import { Responses } from './responses.ts'
import { type ForeignProtocol, type MemcachedState, overMemoryLimit, smallBytes } from './state.ts'

/**
 * What a connection is doing:
 *
 *     open ──▶ lingering    all responses are sent and our side is closed; input is dropped until the client closes
 *     any  ──▶ closed       the socket is gone
 */
type Phase = 'open' | 'lingering' | 'closed'

/** The first bytes of clients that speak another protocol. */
const foreignProtocols: Readonly<Record<number, ForeignProtocol>> = {
  128: 'the binary protocol', // its requests
  22: 'TLS', // the record of a handshake
}

/** A connection with more unparsed input than this is paused. */
const maxWaitingBytes = 256 * 1024
const noMemory = 'SERVER_ERROR out of memory storing object'

/** One client: its socket, its timeouts, and its share of the server's memory. */
export class MemcachedConnection implements ProtocolConnection, PipelineSession {
  readonly server: MemcachedState
  readonly address: string
  readonly network: string
  readonly clientSubject: string | null
  readonly out: Responses
  private readonly socket: Socket
  private readonly output: Output
  private readonly input: InputPause
  private readonly pipeline: CommandPipeline

  private phase: Phase = 'open'
  /** The client has closed its side, or the server stops: complete commands are executed, then the connection ends. */
  private inputClosed = false
  private isFirstInput = true

  /** `process` will be called at the end of the tick. */
  private hasInput = false
  /** `run` will be called after other connections were served. */
  private isScheduled = false
  private roomListener: (() => void) | null = null

  /** The share of this connection in `MemcachedState.heldBytes`. */
  private heldBytes = 0
  lastActive: number

  constructor(server: MemcachedState, socket: Socket, clientSubject: string | null = null) {
    this.server = server
    this.socket = socket
    this.address = socket.remoteAddress
    this.network = clientNetwork(this.address)
    this.clientSubject = clientSubject
    this.output = new Output(socket, server.ticks)
    this.input = new InputPause(socket)
    this.out = new Responses(this.output)
    this.pipeline = new CommandPipeline(this)
    this.lastActive = server.clock.seconds
  }

  /** Closes the socket at once if this principal has logged in: its token is not valid any more. */
  endFor(principal: Principal): void {
    if (this.pipeline.principal !== principal) return
    this.pipeline.isEnded = true
    this.socket.terminate()
  }

  // Events of the socket and of the listener.

  receive(bytes: Buffer): void {
    this.server.counts.bytes_read += bytes.length
    this.lastActive = this.server.clock.seconds
    if (this.inputClosed || this.isEnding()) return
    if (this.isFirstInput) {
      this.isFirstInput = false
      if (this.endForeignClient(bytes[0])) return
    }
    this.pipeline.parser.push(bytes)
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
    if (this.output.unsentBytes === 0) return // a socket with TLS also drains when it had room
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

  /** The socket is closed. Running commands continue; their responses are dropped. */
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
    const { isLoggedIn, wasServed, parser } = this.pipeline
    if (!isLoggedIn || (!wasServed && !parser.isMidBlock)) return 'new'
    return waitsFor === 'command' ? 'idle' : 'busy'
  }

  // For its commands.

  change<Outcome>(
    command: Command,
    key: string,
    decide: (found: Item | null, nowMs: number) => Decision<Outcome>,
  ): Promise<Decided<Outcome>> {
    return this.pipeline.change(command, key, decide)
  }

  async room(): Promise<boolean> {
    this.send()
    this.updateBackpressure()
    await nextTick()
    while (this.phase !== 'closed' && this.out.unsentBytes >= maxUnsentBytes) {
      await new Promise<void>((resolve) => {
        this.roomListener = resolve
      })
    }
    return this.phase !== 'closed'
  }

  /** Executes commands, sends their responses, and ends the connection when all is done. */
  run(): void {
    if (this.phase === 'closed') return
    if (this.phase === 'open' && !this.pipeline.take()) this.runLater()
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

  /** Ends a client whose first byte shows that it speaks another protocol. */
  private endForeignClient(firstByte: number | undefined): boolean {
    const speaks = firstByte === undefined ? undefined : foreignProtocols[firstByte]
    if (speaks === undefined) return false
    if (speaks === 'TLS') this.socket.write('ERROR this port speaks plain text, not TLS\r\n')
    this.server.onForeignClient(this.socket.remoteAddress, speaks)
    this.close()
    return true
  }

  private isEnding(): boolean {
    return this.phase === 'lingering' || this.phase === 'closed'
  }

  // Output and bounds.

  private send(): void {
    this.out.flush()
    this.server.counts.bytes_written += this.output.takeSentBytes()
    if (this.out.unsentBytes >= maxUnsentBytes) return
    this.roomListener?.()
    this.roomListener = null
    // Commands may have been left in the parser for lack of room for their responses.
    if (this.phase === 'open' && this.pipeline.hasWaiting) this.runLater()
  }

  /**
   * Updates the memory that the connection holds, ends a client that sends a large command before its login, abandons a
   * large value over the memory limit, and pauses the input while too much of it waits.
   */
  private updateBackpressure(): void {
    const { pipeline, server } = this
    if (this.phase === 'open' && !pipeline.isEnded && pipeline.parser.unfinishedBytes > smallBytes) {
      if (!pipeline.isLoggedIn) pipeline.isEnded = true
      else if (overMemoryLimit(server) && pipeline.abandonValue(noMemory)) this.runLater()
    }
    const held = pipeline.heldBytes + this.out.unsentBytes
    server.heldBytes += held - this.heldBytes
    this.heldBytes = held
    const maxBytes = overMemoryLimit(server) ? smallBytes : maxWaitingBytes
    this.input.setPaused(!this.isEnding() && pipeline.parser.waitingBytes > maxBytes)
  }

  private endIfDone(): void {
    if (this.isEnding() || this.out.unsentBytes > 0) return
    const { pipeline } = this
    if (!pipeline.isEnded && !(this.inputClosed && !this.isScheduled && pipeline.isDone)) return
    this.phase = 'lingering'
    this.lastActive = this.server.clock.seconds
    this.input.setPaused(false)
    this.socket.shutdown()
  }

  /**
   * Returns what the connection waits for: `store`; `client`, to read its responses, to log in or to send the rest of a
   * command; `close`, by the client; or `command`, the next one.
   */
  private waitsFor(): 'store' | 'client' | 'close' | 'command' {
    if (this.isEnding()) return 'close'
    if (this.out.unsentBytes > 0) return 'client'
    if (this.pipeline.isWorking || this.isScheduled) return 'store'
    return this.pipeline.parser.isMidCommand || !this.pipeline.isLoggedIn ? 'client' : 'command'
  }
}
