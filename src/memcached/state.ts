import type { Authenticator } from '../auth/authenticate.ts'
import type { ClientLimits, LimitCounts } from '../auth/client-limits.ts'
import type { Database } from '../core/database.ts'
import type { Durability } from '../core/engine.ts'
import type { ReadQueue } from '../core/read-queue.ts'
import type { SecondClock } from '../net/connections.ts'
import type { TickScheduler } from '../net/tick.ts'
import type { MemcachedCounts } from '../telemetry/memcached-counts.ts'
import type { AccessTable } from './access-table.ts'
import type { CommandAudit } from './audit.ts'
import type { Decided, Decision, MakeChange } from './change.ts'
import type { Command } from './command.ts'
import type { Item } from './decide.ts'
import type { FlushClock } from './flush-clock.ts'
import type { Responses } from './responses.ts'
import type { WriteBatcher } from './write-batcher.ts'

/** The part of the store that this protocol uses. */
export type MemcachedStore = Pick<
  Database,
  | 'get'
  | 'readMany'
  | 'visitMany'
  | 'onExpiredRead'
  | 'write'
  | 'update'
  | 'drop'
  | 'collections'
  | 'settings'
>

export type ForeignProtocol = 'the binary protocol' | 'TLS'

/** State shared by the connections of a memcached server. */
export interface MemcachedState {
  readonly db: MemcachedStore
  readonly collection: string
  /** Durability of writes through this port. */
  readonly durability: Durability
  readonly now: () => number
  readonly ticks: TickScheduler
  /** Batches the reads of the commands of one tick. */
  readonly reads: ReadQueue
  readonly counts: MemcachedCounts
  readonly accesses: AccessTable
  /** The counts at the last `stats reset`: `stats` shows the difference, /metrics the totals. */
  countsAtReset: ReadonlyMap<string, number>
  readonly flushes: FlushClock
  readonly writes: WriteBatcher
  readonly change: MakeChange
  readonly settings: MemcachedSettings
  readonly authenticator: Authenticator
  /** Null without an audit log. */
  readonly audit: CommandAudit | null
  /** The limits on the rates of clients; null for none. */
  readonly limits: ClientLimits | null
  readonly limitCounts: LimitCounts
  /** Returns the port on which the server listens. */
  port(): number
  openConnections(): number
  /** Called with errors that are kvist's fault, not the client's. */
  readonly onError: (error: unknown) => void
  /** Called when a client is disconnected because it speaks another protocol than this port. */
  readonly onForeignClient: (address: string, speaks: ForeignProtocol) => void
  readonly clock: SecondClock
  /**
   * Bytes that connections hold for their clients: incomplete and waiting commands, values of uncommitted writes,
   * unsent responses. Each connection updates its share of the sum.
   */
  heldBytes: number
}

/** The connection of a command, as its execution sees it. */
export interface Session {
  readonly server: MemcachedState
  /** The network that stands for the client where its commands are counted (net/address.ts). */
  readonly network: string
  /** The subject of the client's verified TLS certificate; null without one. */
  readonly clientSubject: string | null
  readonly out: Responses
  /** The address of the client. */
  readonly address: string
  /** Makes the change of a command (change.ts), which has a line in the audit log. */
  change<Outcome>(
    command: Command,
    key: string,
    decide: (found: Item | null, nowMs: number) => Decision<Outcome>,
  ): Promise<Decided<Outcome>>
  /**
   * Waits until the client has read enough and lets other connections work meanwhile; returns false when the client is
   * gone.
   */
  room(): Promise<boolean>
}

export interface MemcachedSettings {
  readonly host: string
  readonly version: string
  /** How long a client may be silent between commands; 0 for no limit. */
  readonly idleTimeoutSeconds: number
  /** How long a client may be silent in the middle of a command, or leave responses unread. */
  readonly stallTimeoutSeconds: number
  readonly maxConnections: number
  readonly maxValueBytes: number
  readonly maxHeldBytes: number
}

/** The bytes that a connection may hold even over the memory limit, so that small requests succeed. */
export const smallBytes = 64 * 1024

/**
 * Whether connections together hold so much that large values must be refused. This bounds their memory, however many
 * clients send half a value or do not read their responses.
 */
export function overMemoryLimit({ heldBytes, settings }: MemcachedState): boolean {
  return heldBytes > settings.maxHeldBytes
}
