import type { Socket as BunSocket } from 'bun'
import type { StopTimer, Timers } from '../../core/timers.ts'
import type { ClusterTls } from './cluster.ts'
import { CommandOutput } from './command-output.ts'
import { Fifo } from './fifo.ts'
import { ErrorReply, ProtocolError, type RedisCommand, type Reply, ReplyParser } from './resp.ts'
import { addressText, type ServerAddress } from './servers.ts'

/**
 * A connection to one server, in RESP3: commands are sent in their order without waiting for replies. It is used until
 * it breaks, and never repeats a command: whoever sent it learns whether the server can have received it.
 */

/** A command with what to do about its end. Exactly one of the two methods is called, once; neither may throw. */
export interface Request {
  readonly command: RedisCommand
  /** A subscription, which a message confirms instead of a reply. */
  readonly isSubscription?: true
  replied(reply: Reply): void
  /** There is no reply because the connection ended. `isSent`: the server can have received the whole command. */
  lost(isSent: boolean, why: string): void
}

/** What a server says of itself when a connection opens. */
export interface ServerGreeting {
  readonly version: string
  readonly isCluster: boolean
  readonly isPrimary: boolean
}

export interface ConnectionOptions {
  readonly address: ServerAddress
  readonly user: string | null
  readonly password: string | null
  readonly tls: ClusterTls | null
  /** The connection is cut when the server sends nothing for this long, though it owes a reply. */
  readonly timeoutMs: number
  readonly timers: Timers
  /** The connection asks the server for its run id first, and sends it for `runIdArgument`. */
  readonly sendsRunId?: true
  readonly onGreeting?: (greeting: ServerGreeting) => void
  /** Called with messages of channels. */
  readonly onPush?: (message: readonly Reply[]) => void
  /** Called before the commands of a tick are sent; may send more. */
  readonly onFlush?: () => void
  /** Called once, after all requests have been lost. */
  readonly onClosed: (why: ClosedReason) => void
}

export interface ClosedReason {
  /** One line for people. */
  readonly text: string
  readonly isTimeout: boolean
  /** The server responded, and does not let us in. */
  readonly isRefused: boolean
}

/** The timeout is measured in ticks: the time during which this process could not run must not count. */
const ticksPerTimeout = 4

interface Written {
  readonly request: Request
  /** The connection's bytes up to its end. */
  readonly endByte: number
}

export class RedisConnection {
  private readonly options: ConnectionOptions
  private readonly stopTicks: StopTimer
  private readonly parser: ReplyParser
  private socket: BunSocket | null = null
  private output: CommandOutput | null = null
  private state: 'connecting' | 'open' | 'closed' = 'connecting'
  private readonly unsent = new Fifo<Request>()
  private readonly written = new Fifo<Written>()
  private isFlushScheduled = false
  private silentTicks = 0

  constructor(options: ConnectionOptions) {
    this.options = options
    this.parser = new ReplyParser(
      (reply) => this.replied(reply),
      (message) => this.pushed(message),
    )
    this.stopTicks = options.timers.every(options.timeoutMs / ticksPerTimeout, () => this.onTick())
    void this.connect()
  }

  get isClosed(): boolean {
    return this.state === 'closed'
  }

  /** Bytes that wait until the server reads; at most those of one command beyond a fixed amount. */
  get unsentBytes(): number {
    return this.output === null ? 0 : this.output.encodedBytes - this.output.sentBytes
  }

  /** Sends a command at the end of the tick, once the connection is open and the server has room for it. */
  send(request: Request): void {
    if (this.state === 'closed') {
      request.lost(false, 'the connection is closed')
    } else {
      this.unsent.push(request)
      this.scheduleFlush()
    }
  }

  /** Ends the connection at once. */
  cut(text: string, kind: { isTimeout?: boolean; isRefused?: boolean } = {}): void {
    if (this.state === 'closed') return
    this.state = 'closed'
    this.stopTicks()
    this.socket?.terminate()
    const sentBytes = this.output?.sentBytes ?? 0
    this.output?.discard()
    const why = `${addressText(this.options.address)}: ${text}`
    for (let next = this.written.shift(); next !== undefined; next = this.written.shift())
      next.request.lost(next.endByte <= sentBytes, why)
    for (let next = this.unsent.shift(); next !== undefined; next = this.unsent.shift()) next.lost(false, why)
    const { isTimeout = false, isRefused = false } = kind
    this.options.onClosed({ text: why, isTimeout, isRefused })
  }

  private async connect(): Promise<void> {
    const { address, tls } = this.options
    try {
      await Bun.connect({
        hostname: address.host,
        port: address.port,
        ...(tls === null ? {} : { tls: tlsOptions(address.host, tls) }),
        socket: {
          open: (socket) => this.opened(socket),
          handshake: (socket, isDone, error) => this.secured(socket, isDone, error),
          data: (_socket, bytes) => this.received(bytes),
          drain: () => this.drained(),
          end: () => this.cut('the server closed the connection'),
          close: () => this.cut('the connection was closed'),
          error: (_socket, error) => this.cut(error.message),
          connectError: (_socket, error) => this.cut(`cannot connect: ${error.message}`),
        },
      })
    } catch (error) {
      this.cut(`cannot connect: ${error instanceof Error ? error.message : String(error)}`)
    }
  }

  private opened(socket: BunSocket): void {
    if (this.state === 'closed') {
      socket.terminate()
      return
    }
    socket.setNoDelay(true)
    this.socket = socket
    if (this.options.tls === null) this.greet(socket)
  }

  private secured(socket: BunSocket, isDone: boolean, error: Error | null): void {
    if (this.options.tls === null || this.state === 'closed') return
    // Bun checks by whom the certificate was issued, and for which name.
    if (isDone && error === null) this.greet(socket)
    else this.cut(`TLS: ${error?.message ?? 'the handshake failed'}`, { isRefused: true })
  }

  /** Speaks RESP3 and logs in; all else is sent when the server has agreed. */
  private greet(socket: BunSocket): void {
    const output = new CommandOutput(socket)
    this.output = output
    const { user, password, sendsRunId } = this.options
    const login = password === null ? [] : ['AUTH', user ?? 'default', password]
    this.write(output, {
      command: ['HELLO', 3, ...login, 'SETNAME', 'kvist'],
      replied: (reply) => {
        if (reply instanceof ErrorReply) {
          this.cut(refusal(reply), { isRefused: true })
          return
        }
        if (sendsRunId === undefined) this.greeted(reply)
        else this.askForRunId(output, reply)
      },
      lost() {},
    })
    output.flush()
  }

  private askForRunId(output: CommandOutput, greeting: Reply): void {
    this.write(output, {
      command: ['INFO', 'server'],
      replied: (reply) => {
        const runId = /^run_id:(\w+)/m.exec(String(reply))?.[1]
        if (reply instanceof ErrorReply || runId === undefined) {
          const why = reply instanceof ErrorReply ? reply.text : 'it has no run id'
          this.cut(`INFO: ${why}`, { isRefused: true })
          return
        }
        output.runId = runId
        this.greeted(greeting)
      },
      lost() {},
    })
    output.flush()
  }

  private greeted(reply: Reply): void {
    this.state = 'open'
    this.options.onGreeting?.(greetingOf(reply))
    this.flush()
  }

  private scheduleFlush(): void {
    if (this.isFlushScheduled || this.state !== 'open') return
    this.isFlushScheduled = true
    queueMicrotask(() => this.flush())
  }

  private flush(): void {
    this.isFlushScheduled = false
    const { output, unsent, options } = this
    if (output === null || this.state !== 'open') return
    options.onFlush?.()
    while (!output.isFull) {
      const request = unsent.shift()
      if (request === undefined) break
      this.write(output, request)
    }
    output.flush()
  }

  private write(output: CommandOutput, request: Request): void {
    if (this.written.length === 0) this.silentTicks = 0
    output.add(request.command)
    this.written.push({ request, endByte: output.encodedBytes })
  }

  private drained(): void {
    this.output?.drained()
    this.silentTicks = 0
    this.flush()
  }

  private received(bytes: Buffer): void {
    if (this.state === 'closed') return
    this.silentTicks = 0
    try {
      this.parser.parse(bytes)
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      this.cut(error.message)
    }
  }

  private replied(reply: Reply): void {
    if (this.state === 'closed') return
    const next = this.written.shift()
    if (next === undefined) throw new ProtocolError('the server sent a reply to nothing')
    next.request.replied(reply)
  }

  private pushed(message: readonly Reply[]): void {
    if (this.state === 'closed') return
    const kind = String(message[0])
    const isConfirmation = kind === 'ssubscribe' && this.written.first?.request.isSubscription === true
    if (isConfirmation) this.replied(message)
    else this.options.onPush?.(message)
  }

  private onTick(): void {
    this.silentTicks++
    const owesReply = this.state === 'connecting' || this.written.length > 0
    if (this.silentTicks <= ticksPerTimeout) return
    if (!owesReply) {
      this.send(heartbeat)
      return
    }
    const what = this.state === 'connecting' ? 'could not connect' : 'no reply'
    this.cut(`${what} within ${this.options.timeoutMs} ms`, { isTimeout: true })
  }
}

/** Finds out that a server is gone although nobody asks it for anything. */
const heartbeat: Request = { command: ['PING'], replied() {}, lost() {} }

function tlsOptions(host: string, { ca, client }: ClusterTls) {
  return {
    serverName: host,
    rejectUnauthorized: true,
    ...(ca === null ? {} : { ca }),
    ...(client === null ? {} : { cert: client.cert, key: client.key }),
  }
}

function refusal({ text, code }: ErrorReply): string {
  if (code === 'NOAUTH') return 'the server asks for a password'
  if (code === 'WRONGPASS') return 'the server does not accept this user and password'
  if (code === 'NOPROTO') return 'the server does not speak RESP3'
  return `the server refused: ${text}`
}

function greetingOf(reply: Reply): ServerGreeting {
  const fields = new Map<string, string>()
  if (Array.isArray(reply)) {
    for (let i = 0; i + 1 < reply.length; i += 2) fields.set(String(reply[i]), String(reply[i + 1]))
  }
  return {
    version: fields.get('version') ?? '',
    isCluster: fields.get('mode') === 'cluster',
    isPrimary: fields.get('role') === 'master',
  }
}
