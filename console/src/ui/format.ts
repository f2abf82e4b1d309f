/** Numbers, sizes and times as people read them. */

const locale = 'en-GB'
const grouped = new Intl.NumberFormat(locale)
const compact = new Intl.NumberFormat(locale, { notation: 'compact', maximumFractionDigits: 1 })
const relative = new Intl.RelativeTimeFormat(locale, { numeric: 'auto', style: 'narrow' })
const exact = new Intl.DateTimeFormat(locale, { dateStyle: 'medium', timeStyle: 'medium' })
const day = new Intl.DateTimeFormat(locale, { day: 'numeric', month: 'short' })
const dayOfYear = new Intl.DateTimeFormat(locale, { day: 'numeric', month: 'short', year: 'numeric' })

/** 48210 → "48,210". */
export function formatNumber(value: number): string {
  return grouped.format(value)
}

/** 1204000 → "1.2M". */
export function formatCompact(value: number): string {
  return compact.format(value)
}

/** "1 member", "48,210 members". */
export function formatCount(value: number, noun: string, plural = `${noun}s`): string {
  return `${formatNumber(value)} ${value === 1 ? noun : plural}`
}

const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'] as const

/** 9400000 → "9.4 MB". */
export function formatBytes(bytes: number): string {
  let value = bytes
  let unit = 0
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000
    unit++
  }
  const digits = unit === 0 || value >= 99.95 ? 0 : 1
  return `${value.toFixed(digits)} ${units[unit]}`
}

const second = 1000
const minute = 60 * second
const hour = 60 * minute
const dayMs = 24 * hour

/** "now", "12 s ago", "3 min ago", "2 h ago", "yesterday", "12 Nov", "12 Nov 2024"; "in 41 s" for what is to come. */
export function formatRelative(atMs: number, nowMs: number): string {
  const distance = atMs - nowMs
  const size = Math.abs(distance)
  if (size < 2 * second) return 'now'
  const sign = Math.sign(distance)
  const text =
    size < minute
      ? `${Math.round(size / second)} s`
      : size < hour
        ? `${Math.round(size / minute)} min`
        : size < dayMs
          ? `${Math.round(size / hour)} h`
          : null
  if (text !== null) return sign < 0 ? `${text} ago` : `in ${text}`
  if (size < 7 * dayMs) return relative.format(Math.round(distance / dayMs), 'day')
  return new Date(atMs).getFullYear() === new Date(nowMs).getFullYear()
    ? day.format(atMs)
    : dayOfYear.format(atMs)
}

/** "28 Nov 2026, 19:57:31", for what shows a relative time. */
export function formatExact(atMs: number): string {
  return exact.format(atMs)
}

/** 93784000 → "1 d 2 h", 41000 → "41 s": the two largest units. */
export function formatDuration(ms: number): string {
  const parts = [
    [Math.floor(ms / dayMs), 'd'],
    [Math.floor(ms / hour) % 24, 'h'],
    [Math.floor(ms / minute) % 60, 'min'],
    [Math.floor(ms / second) % 60, 's'],
  ] as const
  const first = parts.findIndex(([value]) => value > 0)
  if (first === -1) return '0 s'
  return parts
    .slice(first, first + 2)
    .filter(([value]) => value > 0)
    .map(([value, unit]) => `${value} ${unit}`)
    .join(' ')
}

const timesOfDay = {
  minutes: new Intl.DateTimeFormat(locale, { hour: '2-digit', minute: '2-digit' }),
  seconds: new Intl.DateTimeFormat(locale, { hour: '2-digit', minute: '2-digit', second: '2-digit' }),
} as const

/** "19:57", or "19:57:31". */
export function formatTimeOfDay(atMs: number, exactTo: keyof typeof timesOfDay): string {
  return timesOfDay[exactTo].format(atMs)
}
