import { KvistHttpError, KvistTimeoutError, KvistUnreachableError } from './errors.ts'

/** When a request may be sent again, and after what pause. */

/**
 * What makes it safe to send a request again:
 *
 * - `idempotent`: doing it twice leaves what doing it once leaves, so nothing else is needed. It is sent again also when
 *   the outcome of the first try is unknown.
 * - `if-rejected`: the server has done nothing: the request never arrived, or the server says so. A write under a
 *   condition belongs here: if the first attempt succeeded, the condition of the second would fail.
 * - `if-unsent`: the request never arrived. The server may reject it with a part of it done.
 */
export type Retry = 'idempotent' | 'if-rejected' | 'if-unsent'

/** The server is stopping, its disk cannot keep up, or what it stores to is out of reach, and it has done nothing. */
const rejectedCodes = new Set(['closing', 'busy', 'unavailable'])
/** The request may have been done, and others may have written since: only the caller can decide to repeat it. */
const unknownCode = 'outcome_unknown'
/** What proxies and servers in trouble respond with; whether the request was done before is not known. */
const passingStatuses = new Set([502, 503, 504])

const firstPauseMs = 100
const longestPauseMs = 10_000
/** A server that asks for a longer pause is not waited for. */
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
 * The pause before the next try: it doubles each time, and is shortened at random by up to a half, so that many clients
 * do not come back at one moment; it is never shorter than what the server asks for.
 */
export function pauseMs(failures: number, error: unknown, firstMs = firstPauseMs): number {
  const grownMs = Math.min(firstMs * 2 ** Math.min(failures, 30), Math.max(longestPauseMs, firstMs))
  const askedMs = error instanceof KvistHttpError ? (error.retryAfterSeconds ?? 0) * 1000 : 0
  return Math.max(grownMs * (1 - Math.random() / 2), askedMs * (1 + Math.random() / 4))
}

/** Rejects with the signal's reason when that is aborted first. */
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

/** Whether there was no connection to send it on. Browsers do not say, so there it counts as sent. */
function wasNeverSent(error: unknown): boolean {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if ('code' in cause && neverConnected.has(String(cause.code))) return true // Bun and Node
    if (cause.message.includes('client error (Connect)')) return true // Deno
  }
  return false
}
