import { maxTimeMs } from '../core/limits.ts'

/** An exptime up to this many seconds is relative to now, a larger one is seconds since 1970. */
const maxRelativeSeconds = 60 * 60 * 24 * 30

/**
 * Returns when a member with this exptime expires, in milliseconds: null for never (0), now for one in the past (below
 * 0), else this many seconds from now (up to 30 days) or from 1970 (more than that).
 */
export function expiresAtMs(exptime: number, nowMs: number): number | null {
  if (exptime === 0) return null
  if (exptime < 0) return nowMs
  const atMs = exptime > maxRelativeSeconds ? exptime * 1000 : nowMs + exptime * 1000
  return Math.min(atMs, maxTimeMs)
}

/** Returns the time left as the `t` flag reports it: seconds, rounded up; -1 for no expiry. */
export function secondsLeft(atMs: number | null, nowMs: number): number {
  return atMs === null ? -1 : Math.max(0, Math.ceil((atMs - nowMs) / 1000))
}
