import { formatDuration, formatRelative } from '../ui/format.ts'

/** What is said about when a member expires. */

export interface ExpiryWords {
  readonly text: string
  /** Soon enough to be marked. */
  readonly isNear: boolean
  readonly isPast: boolean
}

const minuteMs = 60_000
const dayMs = 24 * 60 * minuteMs

/** Counts down to the second on the last day. */
export function expiryWords(expiresAtMs: number | null, nowMs: number): ExpiryWords {
  if (expiresAtMs === null) return { text: 'never', isNear: false, isPast: false }
  const leftMs = expiresAtMs - nowMs
  if (leftMs <= 0) return { text: 'now', isNear: true, isPast: true }
  const text =
    leftMs < dayMs
      ? `in ${formatDuration(Math.ceil(leftMs / 1000) * 1000)}`
      : formatRelative(expiresAtMs, nowMs)
  return { text, isNear: leftMs <= minuteMs, isPast: false }
}
