import type { Database } from '../core/database.ts'
import type { Durability } from '../core/engine.ts'
import type { MemcachedCounts } from '../telemetry/memcached-counts.ts'
import type { Answers } from './answers.ts'
import type { MakeChange } from './change.ts'
import type { FlushClock } from './flush-clock.ts'
import type { Writer } from './writer.ts'

/** What all connections of the port share. */
export interface Port {
  readonly db: Database
  readonly collection: string
  /** Of the writes that come in here. */
  readonly durability: Durability
  readonly now: () => number
  readonly counts: MemcachedCounts
  /** What was counted when a client said `stats reset`: `stats` tells what has come since, /metrics everything. */
  countsAtReset: ReadonlyMap<string, number>
  readonly flushes: FlushClock
  readonly writer: Writer
  readonly change: MakeChange
  readonly settings: PortSettings
  /** Whether a token that a client logs in with is right; null where nobody needs to. */
  readonly mayEnter: ((token: string) => boolean) | null
  openConnections(): number
  /** Hears of errors that are kvist's fault, not the client's. */
  readonly onError: (error: unknown) => void
  /** Seconds since the start, as the listener's timer counts them. */
  tick: number
  /**
   * Bytes that connections hold for their clients: commands that are not complete or wait for their turn, values on
   * their way to disk, answers that are not sent yet. Each connection keeps its own part of the sum up to date.
   */
  heldBytes: number
}

/** Where a command comes from and its answer goes. */
export interface Session {
  readonly port: Port
  readonly out: Answers
  /** Lets others have their turn, and waits until the client has read of its answers; false when it is gone. */
  room(): Promise<boolean>
}

/** How it was set up. */
export interface PortSettings {
  readonly host: string
  /** 0 takes a free one. */
  readonly port: number
  readonly version: string
  /** How long a client may be silent between commands; 0 for ever. */
  readonly idleTimeoutSeconds: number
  /** How long a client may be silent in the middle of a command, or leave answers unread. */
  readonly stallTimeoutSeconds: number
  readonly maxConnections: number
  readonly maxValueBytes: number
  readonly maxHeldBytes: number
}

/** What a connection may hold whatever the others do, so that small requests go on. */
export const smallBytes = 64 * 1024

/**
 * Whether connections hold so much together that what is large must be turned away. With it the port's memory has an
 * end, however many clients send values by halves or do not read what they asked for.
 */
export function isPressed(port: Port): boolean {
  return port.heldBytes > port.settings.maxHeldBytes
}
