/** How many requests are allowed in a time, and how many at once. Written as `200/s` or `200/s:400`. */
export interface Rate {
  readonly requests: number
  /** The time in which so many are allowed, in seconds: 1, 60 or 3600. */
  readonly windowSeconds: number
  /** How many may come at once after a time without any; as many as `requests` unless it is given. */
  readonly burst: number
}

/** The most that `requests` and `burst` can be. */
const maxRate = 1_000_000

/** What a rate must look like: completes "must be …". */
export const rateForm = `a rate like 200/s, 6000/m or 200/s:400 for bursts of up to 400, with numbers from 1 to ${maxRate}`

const windows: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600 }

/** Returns null when the text is not a rate, or out of range. */
export function parseRate(text: string): Rate | null {
  const [, requests, unit = '', burst = requests] = /^(\d{1,7})\/([smh])(?::(\d{1,7}))?$/.exec(text) ?? []
  const windowSeconds = windows[unit]
  if (windowSeconds === undefined || !isInRange(Number(requests)) || !isInRange(Number(burst))) return null
  return { requests: Number(requests), windowSeconds, burst: Number(burst) }
}

function isInRange(count: number): boolean {
  return count >= 1 && count <= maxRate
}

/** Returns the shortest text of a rate that `parseRate` accepts. */
export function showRate({ requests, windowSeconds, burst }: Rate): string {
  const unit = Object.entries(windows).find(([, seconds]) => seconds === windowSeconds)?.[0]
  return `${requests}/${unit}${burst === requests ? '' : `:${burst}`}`
}
