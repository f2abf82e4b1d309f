import { type ErrorCode, KvistError } from '../../core/errors.ts'
import type { IndexGuard } from '../../core/shared-store.ts'
import { StaleView } from '../../core/stale-view.ts'
import { RedisError } from './cluster.ts'

/** Errors of the servers, by their first word; others are `storage_failed`. */
const codes: Readonly<Record<string, ErrorCode>> = {
  OOM: 'storage_full',
  SKEW: 'unavailable',
  STALE: 'outcome_unknown',
}

/** Returns the error of a command as the core knows it. */
export function faultOf(error: unknown): KvistError {
  if (error instanceof KvistError) return error
  if (!(error instanceof RedisError)) {
    return new KvistError('storage_failed', 'the Redis servers returned something unexpected', {}, error)
  }
  if (error.outcome === 'maybe_done') return outcomeUnknown(error)
  if (error.outcome === 'not_done') return unavailable(error)
  const code = codes[error.code] ?? 'storage_failed'
  if (code === 'outcome_unknown') return outcomeUnknown(error)
  const details: Partial<Record<ErrorCode, string>> = {
    storage_full: 'the memory of the Redis server is full',
    unavailable: "the clocks of this server and of the member's Redis server differ too much",
  }
  return new KvistError(code, details[code] ?? 'the Redis server refused a command', {}, error)
}

/** Returns what the core has to know first, if a script refused something for that; `guard` is that of a scan. */
export function staleViewOf(error: unknown, guard?: IndexGuard): StaleView | null {
  if (!(error instanceof RedisError)) return null
  if (error.code === 'VIEW') return new StaleView(Number(error.message.slice('VIEW '.length)))
  return error.code === 'PARTIAL' && guard !== undefined ? new StaleView(0, guard) : null
}

export function outcomeUnknown(cause?: unknown): KvistError {
  const detail = 'the Redis server did not confirm the commit: it was done once, or not at all'
  return new KvistError('outcome_unknown', detail, {}, cause)
}

function unavailable(cause: unknown): KvistError {
  return new KvistError('unavailable', 'the Redis server that holds the member cannot be reached', {}, cause)
}
