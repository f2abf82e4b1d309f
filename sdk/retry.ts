import { KvistHttpError, KvistTimeoutError, KvistUnreachableError } from './errors.ts'

/** Decides whether a request may be sent again, and after what pause. */

/**
 * The condition under which it is safe to send a request again:
 *
 * - `idempotent`: doing it twice has the same effect as doing it once. It is sent again even if the outcome of the
 *   first try is unknown.
 * - `if-rejected`: the server has done nothing, because the request never arrived or the server says so. A write under
 *   a condition belongs here: if the first attempt succeeded, the condition of the second would fail.
 * - `if-unsent`: the request never arrived. The server may reject it after doing a part of it.
 */
export type Retry = 'idempotent' | 'if-rejected' | 'if-unsent'

/**
 * Codes of a server that is stopping, whose disk cannot keep up, or whose storage is out of reach, and that has done
 * nothing.
 */
const rejectedCodes = new Set(['closing', 'busy', 'unavailable'])
/**
 * The code of a request that may have been done, after which others may have written: only the caller can decide to
 * repeat it.
 */
const unknownCode = 'outcome_unknown'
/** Statuses of proxies and failing servers; the request may have been done or not. */
const passingStatuses = new Set([502, 503, 504])

const firstPauseMs = 100
const longestPauseMs = 10_000
/** The longest pause that a server may request; a call fails rather than wait longer. */
const longestAskedSeconds = 30

export function mayRetry(error: unknown, retry: Retry): boolean {
  if (error instanceof KvistHttpError) {
    if (error.code === unknownCode) return false
    if ((error.retryAfterSeconds ?? 0) > longestAskedSeconds) return false
    if (error.status === 429 || rejectedCodes.has(error.code)) return retry !== 'if-unsent'
    return retry === 'idempotent' && passingStatuses.has(error.status)
  }
  if (error instanceof KvistUnreachableError) return retry === 'idempotent' || wasNeverSent(error.cause)
  return error instanceof KvistTimeoutError && retry === 'idempotent'
}

/**
 * Returns the pause before the next try. It doubles each time and is shortened at random by up to a half, so that many
 * clients do not return at the same moment; it is never shorter than the server requests.
 */
export function pauseMs(failures: number, error: unknown, firstMs = firstPauseMs): number {
  const grownMs = Math.min(firstMs * 2 ** Math.min(failures, 30), Math.max(longestPauseMs, firstMs))
  const askedMs = error instanceof KvistHttpError ? (error.retryAfterSeconds ?? 0) * 1000 : 0
  return Math.max(grownMs * (1 - Math.random() / 2), askedMs * (1 + Math.random() / 4))
}

/** Waits. Rejects with the signal's reason if the signal is aborted first. */
export function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted()
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', stop)
      resolve()
    }, ms)
    const stop = () => {
      clearTimeout(timer)
      reject(signal?.reason)
    }
    signal?.addEventListener('abort', stop, { once: true })
  })
}

const neverConnected = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'UND_ERR_CONNECT_TIMEOUT',
])

/** Returns whether no connection could be made. Browsers do not report that, so there the request counts as sent. */
function wasNeverSent(error: unknown): boolean {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if ('code' in cause && neverConnected.has(String(cause.code))) return true // Bun and Node
    if (cause.message.includes('client error (Connect)')) return true // Deno
  }
  return false
}
