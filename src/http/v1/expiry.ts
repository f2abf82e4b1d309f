import { KvistError } from '../../core/errors.ts'
import { maxTimeMs } from '../../core/limits.ts'
import { parseDurationMs, parseTimeMs } from '../../core/time.ts'

/** The moment that `expire_in` or `expire_at` say; null for neither: never. */
export function parseExpiry(
  expireIn: string | undefined,
  expireAt: string | undefined,
  nowMs: number,
): number | null {
  if (expireIn !== undefined && expireAt !== undefined) {
    throw new KvistError('invalid_parameter', 'expire_in and expire_at are both given: leave one out')
  }
  if (expireIn === undefined && expireAt === undefined) return null
  const expiresAtMs = expireIn === undefined ? parseTimeMs(expireAt!) : nowMs + parseDurationMs(expireIn)
  if (expiresAtMs > maxTimeMs)
    throw new KvistError('invalid_parameter', 'the expiry lies after the year 9999')
  if (expiresAtMs <= nowMs) throw new KvistError('invalid_parameter', 'expire_at is not in the future')
  return expiresAtMs
}
