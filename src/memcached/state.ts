import type { Database } from '../core/database.ts'
import type { Durability } from '../core/engine.ts'
import type { ReadQueue } from '../core/read-queue.ts'
import type { SecondClock } from '../net/connections.ts'
import type { TickScheduler } from '../net/tick.ts'
import type { MemcachedCounts } from '../telemetry/memcached-counts.ts'
import type { AccessTable } from './access-table.ts'
import type { MakeChange } from './change.ts'
import type { FlushClock } from './flush-clock.ts'
import type { Responses } from './responses.ts'
import type { WriteBatcher } from './write-batcher.ts'

/** What of the store this protocol uses. */
export type MemcachedStore = Pick<
  Database,
  'get' | 'readMany' | 'onExpiredRead' | 'write' | 'update' | 'drop' | 'collections' | 'settings'
>

/** What the connections of a memcached server share. */
export interface MemcachedState {
  readonly db: MemcachedStore
  readonly collection: string
  /** Of the writes that come in here. */
  readonly durability: Durability
  readonly now: () => number
  readonly ticks: TickScheduler
  /** Reads of members for the commands of a tick. */
  readonly reads: ReadQueue
  readonly counts: MemcachedCounts
  readonly accesses: AccessTable
  /** The counts at the last `stats reset`: `stats` shows what was added since, /metrics everything. */
  countsAtReset: ReadonlyMap<string, number>
  readonly flushes: FlushClock
  readonly writes: WriteBatcher
  readonly change: MakeChange
  readonly settings: MemcachedSettings
  /** Whether a token that a client logs in with is right; null where no login is needed. */
  readonly isAuthorized: ((token: string) => boolean) | null
  /** Where the server listens. */
  port(): number
  openConnections(): number
  /** Called with errors that are kvist's fault, not the client's. */
  readonly onError: (error: unknown) => void
  /** Called when a client speaks the binary protocol, which is not spoken here: it is disconnected. */
  readonly onBinaryClient: (address: string) => void
  readonly clock: SecondClock
  /**
   * What connections hold for their clients: incomplete and waiting commands, values on their way to disk, unsent
   * responses. Each connection keeps its own part of the sum up to date.
   */
  heldBytes: number
}

/** Where a command comes from and its response goes. */
export interface Session {
  readonly server: MemcachedState
  readonly out: Responses
  /** Waits until the client has read enough, and lets others work meanwhile; false when the client is gone. */
  room(): Promise<boolean>
}

export interface MemcachedSettings {
  readonly host: string
  readonly version: string
  /** How long a client may be silent between commands; 0 for ever. */
  readonly idleTimeoutSeconds: number
  /** How long a client may be silent in the middle of a command, or leave responses unread. */
  readonly stallTimeoutSeconds: number
  readonly maxConnections: number
  readonly maxValueBytes: number
  readonly maxHeldBytes: number
}

/** What a connection may hold whatever the others do, so that small requests go on. */
export const smallBytes = 64 * 1024

/**
 * Whether connections hold so much together that large values must be refused. So their memory has a bound, however many
 * clients send half of a value or do not read what they asked for.
 */
export function overMemoryLimit({ heldBytes, settings }: MemcachedState): boolean {
  return heldBytes > settings.maxHeldBytes
}
