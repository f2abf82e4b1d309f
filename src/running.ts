import type { Timers } from './core/timers.ts'
import type { LogOptions } from './telemetry/log.ts'

/** A running server. */
export interface Running {
  readonly url: string
  /** Opens the audit log anew after log rotation. Null when there is no file to open. */
  readonly reopenLogs: (() => void) | null
  /** Finishes requests in flight, commits, closes the store. */
  stop(): Promise<void>
}

/** Substitutes for a server that tests run in their own process. */
export interface Given {
  /** The clock by which members expire. */
  readonly now?: () => number
  /** The timers of the store's background work. */
  readonly timers?: Timers
  /** The clock of rate limits. */
  readonly monotonicMs?: () => number
  /** The destination of the log instead of stdout. */
  readonly log?: Pick<LogOptions, 'readable' | 'write'>
  /** How long the store has to close when requests took all of `--stop-timeout`; by default as long as an operator waits. */
  readonly minCloseMs?: number
}
