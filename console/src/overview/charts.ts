import { formatBytes, formatCompact, formatNumber } from '../ui/format.ts'
import type { Point, Rates } from './reading.ts'

/** What the charts show: a row for each, and for each line in it. */

export interface Series {
  readonly label: string
  /** Of the palette, from 1; default: its position in the chart. */
  readonly colour?: number
  /** Null where it is not known. */
  readonly read: (point: Point) => number | null
}

export interface ChartSpec {
  readonly title: string
  /** What is counted, for those who ask. */
  readonly note: string
  readonly format: (value: number) => string
  /** Shorter, for the axis. */
  readonly formatTick?: (value: number) => string
  /** The scale reaches at least as far. */
  readonly atLeast: number
  readonly series: readonly Series[]
  /** The one number that says most. */
  readonly headline: Series['read']
  readonly headlineLabel?: string
  /** What is written in place of the headline while there is none. */
  readonly empty?: string
}

const ofRates = (label: string, name: keyof Rates): Series => ({
  label,
  read: ({ rates }) => rates?.[name] ?? null,
})
const ofReading = (
  label: string,
  read: (reading: NonNullable<Point['reading']>) => number | null,
): Series => ({
  label,
  read: ({ reading }) => (reading === null ? null : read(reading)),
})

/** The lines of members by collection; the rest is one more. */
const topCollections = 8
const hundred = 100

/** Those colours of the palette in styles.css that are named. */
const palette = { amber: 2, rose: 4, grey: 9 } as const

/** Returns the charts. Those of what a server does not have are left out; `points` decides which collections are the largest. */
export function chartsOf(points: readonly Point[]): readonly ChartSpec[] {
  const hasCommands = points.some(({ reading }) => (reading?.counters.commands ?? 0) > 0)
  return [
    {
      title: 'Requests',
      note: 'Of clients, a second; without this page, /metrics and health checks',
      format: formatRate,
      formatTick: formatCompact,
      atLeast: 1,
      headline: ({ rates }) =>
        rates?.reads == null ? null : rates.reads + (rates.writes ?? 0) + (rates.commands ?? 0),
      headlineLabel: 'in all',
      series: [
        ofRates('Reads', 'reads'),
        ofRates('Writes', 'writes'),
        ...(hasCommands ? [ofRates('memcached', 'commands')] : []),
      ],
    },
    {
      title: 'Latency',
      note: 'Half of the requests, and 99 of 100, were responded to within this time',
      format: formatMs,
      atLeast: 1,
      headline: ({ rates }) => rates?.p50Ms ?? null,
      headlineLabel: 'p50',
      series: [ofRates('p50', 'p50Ms'), ofRates('p99', 'p99Ms')],
      empty: 'no requests',
    },
    {
      title: 'Errors',
      note: 'Responses a second that say 5xx, and those that refuse with 4xx; missing members are none',
      format: formatRate,
      formatTick: formatCompact,
      atLeast: 1,
      headline: ({ rates }) => rates?.serverErrors ?? null,
      headlineLabel: 'failed',
      series: [
        { ...ofRates('Failed', 'serverErrors'), colour: palette.rose },
        { ...ofRates('Refused', 'refused'), colour: palette.amber },
      ],
    },
    {
      title: 'Cache hits',
      note: 'Reads of members that came from memory',
      format: formatShare,
      atLeast: 1,
      headline: ({ rates }) => rates?.hitShare ?? null,
      series: [ofRates('Hits', 'hitShare')],
      empty: 'no reads',
    },
    {
      title: 'Memory',
      note: 'Of the process, and what the cache has of it',
      format: formatBytes,
      atLeast: 1,
      headline: ({ reading }) => reading?.gauges.memoryBytes ?? null,
      series: [
        ofReading('Process', ({ gauges }) => gauges.memoryBytes),
        ofReading('Cache', ({ gauges }) => gauges.cacheBytes),
      ],
    },
    {
      title: 'Members',
      note: 'By collection, the largest first',
      format: (value) => formatNumber(Math.round(value)),
      formatTick: formatCompact,
      atLeast: 1,
      headline: ({ reading }) => reading?.gauges.members ?? null,
      headlineLabel: 'in all',
      series: collectionSeries(points.at(-1)?.reading?.membersByCollection ?? new Map()),
    },
  ]
}

/** The server's name for the collections that it does not list one by one. */
const restLabel = '_others'

/** Returns a line for each of the largest collections, and one for all others together. */
export function collectionSeries(now: ReadonlyMap<string, number>): readonly Series[] {
  const names = [...now.keys()].filter((name) => name !== restLabel)
  const top = names.sort((a, b) => now.get(b)! - now.get(a)! || (a < b ? -1 : 1)).slice(0, topCollections)
  const all = ofReading('All collections', ({ gauges }) => gauges.members)
  if (names.length === 0) return [all]
  const lines = top.map((name) => ofReading(name, (reading) => reading.membersByCollection.get(name) ?? 0))
  if (now.size === top.length) return lines
  const others = ofReading('others', ({ gauges, membersByCollection }) =>
    top.reduce((rest, name) => rest - (membersByCollection.get(name) ?? 0), gauges.members),
  )
  return [...lines, { ...others, colour: palette.grey }]
}

/** Now, and the least and the most, of one line; null for nothing known. */
export interface Summary {
  readonly now: number | null
  readonly least: number | null
  readonly most: number | null
}

export function summaryOf(values: readonly (number | null)[]): Summary {
  const known = values.filter((value) => value !== null)
  if (known.length === 0) return { now: null, least: null, most: null }
  return {
    now: values.at(-1) ?? null,
    least: known.reduce((a, b) => Math.min(a, b)),
    most: known.reduce((a, b) => Math.max(a, b)),
  }
}

/** 1204 → "1,204 /s", 0.5 → "0.5 /s". */
export function formatRate(perSecond: number): string {
  return `${rounded(perSecond)} /s`
}

/** 0.84 → "0.84 ms", 1204 → "1.2 s". */
export function formatMs(ms: number): string {
  return ms >= 999.5 ? `${rounded(ms / 1000)} s` : `${rounded(ms)} ms`
}

export function formatShare(share: number): string {
  return `${rounded(share * hundred)} %`
}

/** Three digits, or all those before the point. */
function rounded(value: number): string {
  if (value >= hundred || value === 0) return formatNumber(Math.round(value))
  return formatNumber(Number(value.toPrecision(value < 1 ? 2 : 3)))
}
