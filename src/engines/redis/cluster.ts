import type { RedisCommand, Reply } from './resp.ts'
import type { ServerAddress } from './servers.ts'

/**
 * The servers of a Redis or Valkey Cluster, or a single server, as the engine sees them: commands go to the primary
 * that has a slot, wherever that is by now. This layer finds the primaries, follows moved slots, replaces broken
 * connections, and waits for a failover to end, for as long as the caller has patience. It never repeats a write that
 * may have been done.
 */
export interface Cluster {
  /** A single server has all slots. */
  readonly isSingle: boolean

  /**
   * Sends a command that changes nothing to the primary of the slot, and repeats it elsewhere when a connection breaks.
   * Commands sent in one tick of the event loop share one packet. Rejects with a `RedisError`.
   */
  read(slot: number, command: RedisCommand, untilMs?: number): Promise<Reply>

  /**
   * Sends a command that may write to the primary of the slot, and waits until as many replicas as configured have it.
   * Resolves once it was done. Rejects with a `RedisError` that says whether it may have been done; when it may, the
   * caller decides whether it can be sent again. Commands under way to one slot at the same time are done in any order.
   */
  write(slot: number, command: RedisCommand, untilMs?: number): Promise<WriteReply>

  /**
   * Makes a script known, which commands then name by the SHA-1 that this returns: `['EVALSHA', sha, …]`. Servers that
   * do not have it yet get its text.
   */
  script(text: string): string

  /**
   * Subscribes to channels, each on the primary of its slot, until `close`. Follows slots that move and replaces broken
   * connections; what is published meanwhile is lost, which `onSubscribed` lets the listener find out.
   */
  subscribe(channels: readonly Channel[], listener: ChannelListener): void

  /** The primaries as last seen, in the order of their slots. */
  primaries(): readonly Primary[]

  /** Sends a command that changes nothing to one server, and does not repeat it. Rejects with a `RedisError`. */
  ask(server: ServerAddress, command: RedisCommand): Promise<Reply>

  /** Calls back after primaries or their slots have changed. */
  onTopology(listener: () => void): void

  /** Returns counters since the cluster was opened. */
  stats(): ClusterStats

  /** Closes all connections. Commands under way reject. */
  close(): Promise<void>
}

export interface WriteReply {
  readonly reply: Reply
  /**
   * Whether as many replicas as configured have acknowledged the write. If not it was done all the same, on the primary
   * alone or on fewer replicas. Always true where none are configured.
   */
  readonly isReplicated: boolean
}

export interface Channel {
  readonly slot: number
  readonly name: string
}

export interface ChannelListener {
  /** The payload is a view of what was read from the socket: copy what is kept. */
  onMessage(channel: Channel, payload: Buffer): void
  /** The channel's subscription has begun, or begun again: messages before this may have been missed. */
  onSubscribed(channel: Channel): void
}

export interface Primary extends ServerAddress {
  /** The server's id in its cluster; `''` for a single server. */
  readonly id: string
  readonly replicas: readonly ServerAddress[]
  /** Ranges of slots, both ends inclusive. */
  readonly slots: readonly (readonly [from: number, to: number])[]
}

export interface ClusterStats {
  /** Connections that were opened, and those that were cut because a server did not respond. */
  readonly connections: number
  readonly timeouts: number
  /** Replies that sent a command to another server: MOVED and ASK. */
  readonly redirects: number
  /** Commands that were sent again after a failure that left nothing done, or because they change nothing. */
  readonly retries: number
  readonly topologyChanges: number
}

export interface ClusterOptions {
  /** Any servers of the cluster: the first that responds names the others. */
  readonly servers: readonly ServerAddress[]
  readonly user: string | null
  readonly password: string | null
  /** PEM texts; null for connections without TLS. */
  readonly tls: ClusterTls | null
  /** A server that sends nothing for this long, though it owes a reply, is cut off. */
  readonly timeoutMs: number
  /** How long commands wait for a primary that can do them, unless they bring their own `untilMs`. */
  readonly patienceMs: number
  /** Replicas that must acknowledge a write (WAIT); 0 for none. */
  readonly replicas: number
  /** How long a write waits for them. */
  readonly replicasTimeoutMs: number
  /** Receives a line for the operator: failovers, servers out of reach. */
  readonly warn: (line: string) => void
}

export interface ClusterTls {
  /** The authorities that are trusted; null for the system's. */
  readonly ca: string | null
  /** The client's certificate with its key, where the servers ask for one. */
  readonly client: { readonly cert: string; readonly key: string } | null
}

/** What became of a command that has no reply. */
export type CommandOutcome =
  /** It was not done. No server could do it in time, or none could be reached. */
  | 'not_done'
  /** It was sent, and the connection ended before the reply: it was done once, or not at all. */
  | 'maybe_done'
  /** The server replied with an error. Nothing was done, unless the command is a script that failed on its way. */
  | 'refused'

export class RedisError extends Error {
  readonly outcome: CommandOutcome
  /** The first word of the server's error, such as `OOM` or `WRONGTYPE`, or one of a script's own; `''` without one. */
  readonly code: string

  constructor(outcome: CommandOutcome, message: string, code = '') {
    super(message)
    this.name = 'RedisError'
    this.outcome = outcome
    this.code = code
  }
}
