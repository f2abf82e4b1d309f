import { KvistHttpError, KvistTimeoutError, KvistUnreachableError } from './errors.ts'

/** When a request may be sent again, and after what pause. */

/**
 * - `freely`: doing it twice leaves what doing it once leaves, so it is sent again also when nobody knows what became of
 *   the first one.
 * - `refused`: sent again only when nothing was done: it never arrived, or the server says so. A write under a condition
 *   belongs here: done at the first try, it would be told at the second that its condition does not hold.
 * - `unsent`: sent again only when it never arrived. The server may refuse it with part of it done.
 */
export type Repeat = 'freely' | 'refused' | 'unsent'

/** The server says that it is stopping, or that its disk cannot keep up, before it does anything. */
const refusedUntouched = new Set(['closing', 'busy'])
/** What proxies and servers in trouble answer; whether the request was done before is not known. */
const passing = new Set([502, 503, 504])

const firstPauseMs = 100
const longestPauseMs = 10_000
/** A server that wants a longer pause is not waited for. */
const longestAskedSeconds = 30

export function mayRepeat(error: unknown, repeat: Repeat): boolean {
  if (error instanceof KvistHttpError) {
    if ((error.retryAfterSeconds ?? 0) > longestAskedSeconds) return false
    if (error.status === 429 || refusedUntouched.has(error.code)) return repeat !== 'unsent'
    return repeat === 'freely' && passing.has(error.status)
  }
  if (error instanceof KvistUnreachableError) return repeat === 'freely' || wasNeverSent(error.cause)
  return error instanceof KvistTimeoutError && repeat === 'freely'
}

/**
 * The pause before the next try: twice as long each time, and by chance up to half shorter, so that many clients do
 * not come back at one moment; never shorter than what the server asks for.
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

/** Whether there was no connection to send it on. Browsers do not tell; then nobody knows. */
function wasNeverSent(error: unknown): boolean {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if ('code' in cause && neverConnected.has(String(cause.code))) return true // Bun and Node
    if (cause.message.includes('client error (Connect)')) return true // Deno
  }
  return false
}
