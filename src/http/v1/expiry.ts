import type { AskedExpiry } from '../../core/content.ts'
import { KvistError } from '../../core/errors.ts'
import { maxTimeMs } from '../../core/limits.ts'
import { parseDurationMs, parseTimeMs } from '../../core/time.ts'

/**
 * Parses expiry, which is given in the same fields everywhere: `expire_in` (seconds, a duration such as `15m`, or
 * `never`) or `expire_at` (a time, or null for never); JSON objects may also have `expires_at`, as lists show it, with
 * the meaning of `expire_at`. A time in the past is accepted: the member is expired at once.
 */

export const expiryParameters = ['expire_in', 'expire_at'] as const
export const expiryFields = [...expiryParameters, 'expires_at'] as const

type ExpiryFields = { readonly [N in (typeof expiryFields)[number]]?: unknown }
type ExpiryParameters = { readonly [N in (typeof expiryParameters)[number]]?: string }

/** Returns the expiry that query parameters ask for; null when they have none. */
export function parameterExpiry({ expire_in, expire_at }: ExpiryParameters, nowMs: number): AskedExpiry {
  if (expire_in === undefined && expire_at === undefined) return null
  return fieldExpiry(
    {
      ...(expire_in === undefined ? {} : { expire_in }),
      ...(expire_at === undefined ? {} : { expire_at: expire_at === 'null' ? null : expire_at }),
    },
    nowMs,
  )
}

/**
 * Returns the expiry that the fields of a JSON object ask for; null when they have none. Throws `invalid_parameter`.
 */
export function fieldExpiry(fields: ExpiryFields, nowMs: number): AskedExpiry {
  const { expire_in: expireIn, expire_at, expires_at } = fields
  if (expireIn === undefined && expire_at === undefined && expires_at === undefined) return null
  const [given, contradiction] = expiryFields.filter((name) => fields[name] !== undefined)
  if (contradiction !== undefined) {
    throw new KvistError('invalid_parameter', `${given} and ${contradiction} are both given: leave one out`)
  }
  const expiry = expireIn === undefined ? momentOf(fields[given!], given!) : durationEnd(expireIn, nowMs)
  if (expiry !== 'never' && expiry > maxTimeMs) {
    throw new KvistError('invalid_parameter', 'the expiry lies after the year 9999')
  }
  return expiry
}

function durationEnd(given: unknown, nowMs: number): number | 'never' {
  if (given === 'never') return given
  if (typeof given === 'string' || typeof given === 'number') return nowMs + parseDurationMs(String(given))
  throw new KvistError(
    'invalid_parameter',
    'expire_in is a number of seconds, a text such as "15m", or "never"',
  )
}

function momentOf(given: unknown, name: string): number | 'never' {
  if (given === null) return 'never'
  if (typeof given === 'string' || typeof given === 'number') return parseTimeMs(String(given))
  throw new KvistError('invalid_parameter', `${name} is a time in RFC 3339, or null for never`)
}
