import type { StopTimer } from '../../core/timers.ts'
import type { Channel, ChannelListener } from './cluster.ts'
import { RedisConnection } from './connection.ts'
import { ErrorReply, type Reply } from './resp.ts'
import type { ServerOptions } from './server.ts'
import { addressText, type ServerAddress } from './servers.ts'

/**
 * Keeps channels subscribed, with one connection for each primary that has slots of some. A channel follows its slot.
 * Where a connection breaks or a slot moves there is a gap, and the listener learns when the channel is subscribed
 * again.
 */

export interface SubscriptionsOptions {
  readonly options: ServerOptions
  readonly ownerOf: (slot: number) => ServerAddress | null
  /** A channel lost its server: the topology may have changed. */
  readonly onFailure: () => void
}

interface Subscription {
  readonly channel: Channel
  readonly listener: ChannelListener
  /** The server to which it was sent, until that turns out to be in vain. */
  server: string | null
}

/** The pause before a channel that lost its server is subscribed again. */
const retryMs = 50

export class Subscriptions {
  private readonly options: SubscriptionsOptions
  private readonly subscriptions = new Map<string, Subscription>()
  private readonly connections = new Map<string, RedisConnection>()
  private stopRetry: StopTimer | null = null
  private isClosed = false

  constructor(options: SubscriptionsOptions) {
    this.options = options
  }

  add(channels: readonly Channel[], listener: ChannelListener): void {
    for (const channel of channels) this.subscriptions.set(channel.name, { channel, listener, server: null })
    this.update()
  }

  /** Subscribes every channel where its slot is now. */
  update(): void {
    if (this.isClosed) return
    const inUse = new Set<string>()
    for (const subscription of this.subscriptions.values()) {
      const owner = this.options.ownerOf(subscription.channel.slot)
      if (owner === null) {
        this.retryLater()
        continue
      }
      const name = addressText(owner)
      inUse.add(name)
      if (subscription.server !== name) this.subscribe(subscription, owner, name)
    }
    for (const [name, connection] of this.connections) {
      if (!inUse.has(name)) connection.cut('no channel is here any more')
    }
  }

  close(): void {
    this.isClosed = true
    this.stopRetry?.()
    for (const connection of this.connections.values()) connection.cut('the store is closing')
  }

  private subscribe(subscription: Subscription, address: ServerAddress, server: string): void {
    subscription.server = server
    const { channel, listener } = subscription
    this.connectionTo(address, server).send({
      command: ['SSUBSCRIBE', channel.name],
      isSubscription: true,
      replied: (reply) => {
        if (reply instanceof ErrorReply) this.fail(subscription, server)
        else if (subscription.server === server) listener.onSubscribed(channel)
      },
      lost: () => this.fail(subscription, server),
    })
  }

  private connectionTo(address: ServerAddress, server: string): RedisConnection {
    const known = this.connections.get(server)
    if (known !== undefined && !known.isClosed) return known
    const { user, password, tls, timeoutMs, timers } = this.options.options
    const connection = new RedisConnection({
      address,
      user,
      password,
      tls,
      timeoutMs,
      timers,
      onPush: (message) => this.received(message, server),
      onClosed: () => {
        if (this.connections.get(server) === connection) this.connections.delete(server)
        for (const subscription of this.subscriptions.values()) this.fail(subscription, server)
      },
    })
    this.connections.set(server, connection)
    return connection
  }

  /** A server that is not the primary any more still sends messages: only those of the current one count. */
  private received([kind, name, payload]: readonly Reply[], server: string): void {
    const subscription = this.subscriptions.get(String(name))
    if (subscription?.server !== server) return
    if (String(kind) === 'smessage' && Buffer.isBuffer(payload)) {
      subscription.listener.onMessage(subscription.channel, payload)
    } else if (String(kind) === 'sunsubscribe') {
      this.fail(subscription, server)
    }
  }

  private fail(subscription: Subscription, server: string): void {
    if (subscription.server !== server || this.isClosed) return
    subscription.server = null
    this.options.onFailure()
    this.retryLater()
  }

  private retryLater(): void {
    this.stopRetry ??= this.options.options.timers.after(retryMs, () => {
      this.stopRetry = null
      this.update()
    })
  }
}
