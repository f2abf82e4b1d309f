import { maxTimeMs } from '../core/limits.ts'

/** An exptime up to this many seconds is counted from now, a larger one from 1970. */
const maxRelativeSeconds = 60 * 60 * 24 * 30

/**
 * When a member with this exptime expires: null for never (0), now for one that is over already (below 0), else so
 * many seconds from now (up to 30 days) or from 1970 (more than that).
 */
export function expiresAtMs(exptime: number, nowMs: number): number | null {
  if (exptime === 0) return null
  if (exptime < 0) return nowMs
  const atMs = exptime > maxRelativeSeconds ? exptime * 1000 : nowMs + exptime * 1000
  return Math.min(atMs, maxTimeMs)
}

/** The time left as the `t` flag returns it: whole seconds, begun ones counted; -1 for no end. */
export function secondsLeft(atMs: number | null, nowMs: number): number {
  return atMs === null ? -1 : Math.max(0, Math.ceil((atMs - nowMs) / 1000))
}
