import type { Timers } from '../../core/timers.ts'
import type { ClusterOptions } from './cluster.ts'
import { type ClosedReason, RedisConnection, type Request, type ServerGreeting } from './connection.ts'
import type { Reply } from './resp.ts'
import { addressText, type ServerAddress } from './servers.ts'

/**
 * One server with its connections, which open when they are first used: writes have their own because WAIT blocks it,
 * and questions about the cluster have theirs, so that a large reply does not delay them.
 */

type Purpose = 'read' | 'write' | 'control'

/** A write that waits, after its reply, for the replicas. */
export interface ReplicatedRequest extends Request {
  /** The WAIT that was sent after it has returned, or was lost. Called after its reply. */
  acknowledged(by: Wait, isReplicated: boolean): void
  sentBefore(wait: Wait): void
}

export interface ServerOptions extends ClusterOptions {
  readonly timers: Timers
}

export interface ServerEvents {
  opened(server: Server): void
  /** A connection ended. */
  closed(server: Server, why: ClosedReason): void
}

/** No connection is opened for this long after one could not be. */
const pauseMs = 50

export class Server {
  readonly address: ServerAddress
  readonly name: string
  greeting: ServerGreeting | null = null
  private readonly options: ServerOptions
  private readonly events: ServerEvents
  private readonly connections: Partial<Record<Purpose, RedisConnection>> = {}
  /** Writes of this tick. */
  private unconfirmed: ReplicatedRequest[] = []
  private isPaused = false
  private isClosed = false
  private lastFailure = ''

  constructor(address: ServerAddress, options: ServerOptions, events: ServerEvents) {
    this.address = address
    this.name = addressText(address)
    this.options = options
    this.events = events
  }

  read(request: Request): void {
    this.send('read', request)
  }

  control(request: Request): void {
    this.send('control', request)
  }

  write(request: ReplicatedRequest): void {
    if (this.options.replicas > 0) this.unconfirmed.push(request)
    this.send('write', request)
  }

  /** Sends a request behind `ASKING`, which lets a server do it that is about to get the slot. */
  asking(purpose: 'read' | 'write', request: ReplicatedRequest): void {
    this.send(purpose, askingRequest)
    if (purpose === 'write') this.write(request)
    else this.read(request)
  }

  /** Bytes that wait until the server reads. */
  get unsentBytes(): number {
    return Object.values(this.connections).reduce((sum, { unsentBytes }) => sum + unsentBytes, 0)
  }

  close(why: string): void {
    this.isClosed = true
    this.cutAll(why)
  }

  /** Ends what was sent to it as a primary, which it is not any more: it may be frozen. */
  demote(): void {
    this.connections.read?.cut('it is not a primary any more')
    this.connections.write?.cut('it is not a primary any more')
  }

  private cutAll(why: string): void {
    for (const connection of Object.values(this.connections)) connection.cut(why)
  }

  private send(purpose: Purpose, request: Request): void {
    const connection = this.connections[purpose]
    if (connection !== undefined && !connection.isClosed) connection.send(request)
    else if (this.isClosed || this.isPaused) request.lost(false, this.lastFailure)
    else this.open(purpose).send(request)
  }

  private open(purpose: Purpose): RedisConnection {
    const { user, password, tls, timeoutMs, replicasTimeoutMs, timers } = this.options
    let isGreeted = false
    const connection = new RedisConnection({
      address: this.address,
      user,
      password,
      tls,
      timeoutMs: purpose === 'write' ? timeoutMs + replicasTimeoutMs : timeoutMs,
      timers,
      onGreeting: (greeting) => {
        isGreeted = true
        this.greeting = greeting
        this.events.opened(this)
      },
      ...(purpose === 'write' ? { sendsRunId: true, onFlush: () => this.waitForReplicas(connection) } : {}),
      onClosed: (why) => this.closed(purpose, why, isGreeted),
    })
    this.connections[purpose] = connection
    return connection
  }

  private closed(purpose: Purpose, why: ClosedReason, wasGreeted: boolean): void {
    if (purpose === 'write') this.unconfirmed = []
    this.lastFailure = why.text
    if (!wasGreeted && !this.isPaused) {
      this.isPaused = true
      this.options.timers.after(pauseMs, () => {
        this.isPaused = false
      })
    }
    // A server that is frozen is so for all.
    if (why.isTimeout) this.cutAll('another of its connections timed out')
    this.events.closed(this, why)
  }

  /** One WAIT confirms all writes of a tick. */
  private waitForReplicas(connection: RedisConnection): void {
    const { unconfirmed, options } = this
    if (unconfirmed.length === 0) return
    this.unconfirmed = []
    connection.send(new Wait(unconfirmed, options.replicas, options.replicasTimeoutMs))
  }
}

const askingRequest: Request = { command: ['ASKING'], replied() {}, lost() {} }

/** Waits for replicas to acknowledge the writes before it. */
export class Wait implements Request {
  readonly command: Request['command']
  private readonly requests: readonly ReplicatedRequest[]
  private readonly replicas: number

  constructor(requests: readonly ReplicatedRequest[], replicas: number, timeoutMs: number) {
    this.command = ['WAIT', replicas, timeoutMs]
    this.requests = requests
    this.replicas = replicas
    for (const request of requests) request.sentBefore(this)
  }

  replied(reply: Reply): void {
    // An error, as when the server became a replica meanwhile, leaves it open whether they have it.
    this.end(typeof reply === 'number' && reply >= this.replicas)
  }

  lost(): void {
    this.end(false)
  }

  private end(isReplicated: boolean): void {
    for (const request of this.requests) request.acknowledged(this, isReplicated)
  }
}
