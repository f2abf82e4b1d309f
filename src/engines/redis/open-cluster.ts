import { createHash } from 'node:crypto'
import type { StopTimer, Timers } from '../../core/timers.ts'
import { monotonicMs } from '../../runtime/clock.ts'
import {
  type Channel,
  type ChannelListener,
  type Cluster,
  type ClusterOptions,
  RedisError,
  type WriteReply,
} from './cluster.ts'
import type { ClosedReason } from './connection.ts'
import { ErrorReply, type RedisCommand, type Reply } from './resp.ts'
import { type Reaction, RoutedCommand } from './routed-command.ts'
import { Server } from './server.ts'
import { addressText, type ServerAddress } from './servers.ts'
import { Subscriptions } from './subscriptions.ts'
import {
  isSameTopology,
  merge,
  noTopology,
  redirectIn,
  type Topology,
  type View,
  viewCommands,
  viewOf,
} from './topology.ts'

/** What waits for a primary is tried again this often, and as soon as the topology has changed. */
const retryMs = 25
/** While something fails the servers are asked for the topology this often, at most. */
const minRefreshMs = 100
/** While nothing fails they are asked this often, to learn of servers that were added. */
const idleRefreshMs = 5000
/** Redirects in a row that are followed without a pause. */
const maxRedirects = 4

/**
 * Connects to a cluster, or a single server, and resolves when the primaries of all slots are known. Rejects with an
 * Error of one line if that does not happen within the patience.
 */
export async function openCluster(options: ClusterOptions, timers: Timers): Promise<Cluster> {
  const cluster = new Routing(options, timers)
  try {
    await cluster.opened()
  } catch (error) {
    await cluster.close()
    throw error
  }
  return cluster
}

class Routing implements Cluster {
  readonly replicas: number
  private readonly options: ClusterOptions
  private readonly timers: Timers
  private readonly servers = new Map<string, Server>()
  private readonly views = new Map<string, View>()
  private readonly asked = new Set<string>()
  private topology: Topology = noTopology
  /** The server of each slot; shorter ways than the topology after a redirect. */
  private readonly owners: (Server | undefined)[] = []
  private readonly waiting: { operation: RoutedCommand; reason: string }[] = []
  private readonly scripts = new Map<string, string>()
  private readonly listeners: (() => void)[] = []
  private readonly subscriptions: Subscriptions
  private readonly failing = new Set<string>()
  private readonly counters = { connections: 0, timeouts: 0, redirects: 0, retries: 0, topologyChanges: 0 }
  private readonly stopIdleRefresh: StopTimer
  private stopRetries: StopTimer | null = null
  private stopDelayedRefresh: StopTimer | null = null
  private refreshedAtMs = Number.NEGATIVE_INFINITY
  private refusal = ''
  private lastFailure = 'no server has responded yet'
  private isClosed = false

  constructor(options: ClusterOptions, timers: Timers) {
    this.options = options
    this.timers = timers
    this.replicas = options.replicas
    this.subscriptions = new Subscriptions({
      options: { ...options, timers },
      ownerOf: (slot) => this.owners[slot]?.address ?? null,
      onFailure: () => this.refresh(),
    })
    for (const address of options.servers) this.serverAt(address)
    this.stopIdleRefresh = timers.every(idleRefreshMs, () => {
      this.prune()
      this.refresh()
    })
  }

  get isSingle(): boolean {
    return [...this.views.values()].some(({ isSingle }) => isSingle)
  }

  /** Resolves when all slots have a primary. */
  opened(): Promise<void> {
    const untilMs = monotonicMs() + this.options.patienceMs
    return new Promise((resolve, reject) => {
      const stop = this.timers.every(retryMs, () => {
        const failure = this.startFailure()
        if (failure !== null && monotonicMs() < untilMs && this.refusal === '') {
          this.refresh()
          return
        }
        stop()
        if (failure === null) resolve()
        else reject(new Error(`redis: ${failure}`))
      })
      this.refresh()
    })
  }

  read(slot: number, command: RedisCommand, untilMs?: number): Promise<Reply> {
    return new Promise((resolve, reject) => {
      this.start(new RoutedCommand(this, slot, command, false, untilMs ?? null, resolve, reject))
    })
  }

  write(slot: number, command: RedisCommand, untilMs?: number): Promise<WriteReply> {
    return new Promise((resolve, reject) => {
      this.start(new RoutedCommand(this, slot, command, true, untilMs ?? null, resolve, reject))
    })
  }

  script(text: string): string {
    const sha = createHash('sha1').update(text).digest('hex')
    this.scripts.set(sha, text)
    return sha
  }

  subscribe(channels: readonly Channel[], listener: ChannelListener): void {
    this.subscriptions.add(channels, listener)
  }

  primaries() {
    return this.topology.primaries
  }

  ask(address: ServerAddress, command: RedisCommand): Promise<Reply> {
    return new Promise((resolve, reject) => {
      this.serverAt(address).control({
        command,
        replied: (reply) => {
          if (reply instanceof ErrorReply) reject(new RedisError('refused', reply.text, reply.code))
          else resolve(reply)
        },
        lost: (_isSent, why) => reject(new RedisError('not_done', why)),
      })
    })
  }

  onTopology(listener: () => void): void {
    this.listeners.push(listener)
  }

  stats() {
    return { ...this.counters }
  }

  async close(): Promise<void> {
    this.isClosed = true
    this.stopIdleRefresh()
    this.stopRetries?.()
    this.stopDelayedRefresh?.()
    this.subscriptions.close()
    for (const server of this.servers.values()) server.close('the store is closing')
    for (const { operation } of this.waiting.splice(0)) operation.giveUp('the store is closing')
  }

  /** Decides about an operation that was not done. */
  follow(operation: RoutedCommand, reaction: Reaction, reason: string): void {
    if (reaction === 'script') {
      const withText = this.withText(operation.command)
      if (withText === null) {
        operation.giveUp(reason)
        return
      }
      operation.command = withText
    }
    const isAtOnce = reaction !== 'later' && reaction !== 'elsewhere' && operation.redirects < maxRedirects
    if (reaction === 'elsewhere') this.refresh()
    if (!isAtOnce) {
      this.retryLater(operation, reason)
      return
    }
    operation.redirects++
    if (reaction === 'script') this.start(operation)
    else this.redirect(operation, reaction, reason)
  }

  private redirect(operation: RoutedCommand, reaction: 'moved' | 'ask', reason: string): void {
    this.counters.redirects++
    const owner = this.owners[operation.slot]
    const address = redirectIn(reason, owner?.address ?? this.options.servers[0]!)
    if (address === null) {
      this.retryLater(operation, reason)
      return
    }
    const server = this.serverAt(address)
    if (reaction === 'ask') {
      server.asking(operation.isWrite ? 'write' : 'read', operation)
      return
    }
    this.owners[operation.slot] = server
    this.refresh()
    this.start(operation)
  }

  private start(operation: RoutedCommand): void {
    const server = this.owners[operation.slot]
    if (this.isClosed) operation.giveUp('the store is closing')
    else if (server === undefined) this.follow(operation, 'elsewhere', this.startFailure() ?? 'no primary')
    else if (operation.isWrite) server.write(operation)
    else server.read(operation)
  }

  private retryLater(operation: RoutedCommand, reason: string): void {
    operation.untilMs ??= monotonicMs() + this.options.patienceMs
    if (this.isClosed || monotonicMs() >= operation.untilMs) {
      operation.giveUp(reason)
      return
    }
    this.waiting.push({ operation, reason })
    this.stopRetries ??= this.timers.every(retryMs, () => this.retry())
  }

  private retry(): void {
    const ready = this.waiting.splice(0)
    this.counters.retries += ready.length
    const nowMs = monotonicMs()
    for (const { operation, reason } of ready) {
      operation.redirects = 0
      if (nowMs >= operation.untilMs!) operation.giveUp(reason)
      else this.start(operation)
    }
    if (this.waiting.length > 0) return
    this.stopRetries?.()
    this.stopRetries = null
  }

  /** The same command with the text of the script in place of its name; null if the script is not ours. */
  private withText([name, sha, ...rest]: RedisCommand): RedisCommand | null {
    const text = this.scripts.get(String(sha))
    return text === undefined ? null : [String(name).replace('SHA', ''), text, ...rest]
  }

  private serverAt(address: ServerAddress): Server {
    const name = addressText(address)
    const known = this.servers.get(name)
    if (known !== undefined) return known
    const server = new Server(
      address,
      { ...this.options, timers: this.timers },
      {
        opened: ({ name }) => this.serverOpened(name),
        closed: ({ name }, why) => this.serverClosed(name, why),
      },
    )
    this.servers.set(name, server)
    return server
  }

  private serverOpened(name: string): void {
    this.counters.connections++
    if (this.failing.delete(name)) this.options.warn(`redis: ${name} responds again`)
  }

  private serverClosed(name: string, why: ClosedReason): void {
    if (this.isClosed) return
    if (why.isTimeout) this.counters.timeouts++
    if (why.isRefused) this.refusal = why.text
    this.lastFailure = why.text
    if (!this.failing.has(name)) {
      this.failing.add(name)
      this.options.warn(`redis: ${why.text}`)
    }
    this.refresh()
  }

  /** Asks all servers that are not being asked, so that one that is frozen delays nothing. */
  private refresh(): void {
    if (this.isClosed) return
    const pauseMs = this.refreshedAtMs + minRefreshMs - monotonicMs()
    if (pauseMs > 0) {
      this.stopDelayedRefresh ??= this.timers.after(pauseMs, () => {
        this.stopDelayedRefresh = null
        this.refresh()
      })
      return
    }
    this.refreshedAtMs = monotonicMs()
    for (const server of this.servers.values()) {
      if (!this.asked.has(server.name)) void this.askForView(server)
    }
  }

  private async askForView(server: Server): Promise<void> {
    this.asked.add(server.name)
    const replies = await Promise.all(viewCommands.map((command) => replyOf(server, command)))
    this.asked.delete(server.name)
    if (this.isClosed || !this.servers.has(server.name)) return
    const view = replies.includes(undefined) ? null : viewOf(server.address, replies as Reply[])
    if (view === null) this.views.delete(server.name)
    else this.views.set(server.name, view)
    this.update()
  }

  private update(): void {
    const { topology } = this
    const next = merge(this.views.values())
    // Nobody knows better than before.
    if (next.primaries.length === 0) return
    const primaries = next.primaries.map((primary) => this.serverAt(primary))
    for (const { replicas } of next.primaries) for (const replica of replicas) this.serverAt(replica)
    next.owners.forEach((owner, slot) => {
      this.owners[slot] = primaries[owner]
    })
    this.topology = next
    if (isSameTopology(topology, next)) return
    this.counters.topologyChanges++
    this.demoteAllBut(primaries)
    for (const listener of this.listeners) listener()
    this.subscriptions.update()
    this.retry()
  }

  private demoteAllBut(primaries: readonly Server[]): void {
    for (const server of this.servers.values()) if (!primaries.includes(server)) server.demote()
  }

  /** Forgets servers that no view and no option names. */
  private prune(): void {
    const { primaries } = this.topology
    const inUse = new Set(
      [...this.options.servers, ...primaries, ...primaries.flatMap(({ replicas }) => replicas)].map(
        addressText,
      ),
    )
    for (const [name, server] of this.servers) {
      if (inUse.has(name)) continue
      this.servers.delete(name)
      this.views.delete(name)
      this.failing.delete(name)
      server.close('the server has left the cluster')
    }
  }

  private startFailure(): string | null {
    if (this.refusal !== '' && this.views.size === 0) return this.refusal
    const { primaries, uncoveredSlots } = this.topology
    if (primaries.length === 0) return this.lastFailure
    return uncoveredSlots === 0 ? null : `the cluster has no server for ${uncoveredSlots} of its slots`
  }
}

/** Undefined when there is no reply. */
function replyOf(server: Server, command: RedisCommand): Promise<Reply | undefined> {
  return new Promise((resolve) => {
    server.control({ command, replied: resolve, lost: () => resolve(undefined) })
  })
}
