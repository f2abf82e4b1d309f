import type { LoadResult, Measure, Row, Verdict } from './results.ts'
import { median } from './statistics.ts'

/** The bars that kvist should reach in the loads, and whether it did. A bar without a bound is only reported. */

interface Bar {
  readonly load: string
  readonly text: string
  readonly figure: Figure
  /** The contestant whose figure it is; kvist when left out. */
  readonly contestant?: string
  /** Another contestant; the figure is divided by its figure. */
  readonly against?: string
  readonly atLeast?: number
  readonly atMost?: number
}

type Figure = keyof typeof unitOf

const unitOf = { perSecond: '/s', p99Ms: 'ms', maxMs: 'ms', errors: 'errors', ownMb: 'MB' } as const

const bars: readonly Bar[] = [
  rate('get-one', 'webdis', 1.4, 'GET of one key against webdis + Redis'),
  rate('get-one', 'bare', 0.75, 'GET of one key against the bare ceiling'),
  rate('get-random', 'webdis', 1.25, 'GET at random against webdis + Redis'),
  rate('get-random', 'bare', 0.65, 'GET at random against the bare ceiling'),
  rate('list', 'webdis', 1.3, 'list of 100 against MGET of 100 through webdis'),
  tail('list', 'webdis', 'list of 100 against MGET of 100 through webdis, p99'),
  rate('read-100', 'webdis', 1.3, 'read of 100 members against MGET of 100 through webdis'),
  rate('read-1000', 'webdis', 1.3, 'read of 1,000 members against MGET of 1,000 through webdis'),
  rate('put-64', 'webdis', 1.2, 'durable PUT, 64 connections, against webdis + Redis'),
  rate('put-256', 'webdis', 1.2, 'durable PUT, 256 connections, against webdis + Redis'),
  tail('put-64', 'webdis', 'durable PUT, 64 connections, against webdis + Redis, p99'),
  tail('put-256', 'webdis', 'durable PUT, 256 connections, against webdis + Redis, p99'),
  {
    ...{ load: 'put-64', figure: 'ownMb', against: 'webdis', atMost: 1.5 },
    text: 'memory while writing, without pages of mapped files, against Redis',
  },
  rate('put-64', 'etcd', 3, 'durable PUT, 64 connections, against etcd'),
  rate('put-256', 'etcd', 3, 'durable PUT, 256 connections, against etcd'),
  slowest('put-1', 'slowest durable PUT while applying, 1 connection'),
  slowest('put-64', 'slowest durable PUT while applying, 64 connections'),
  slowest('put-256', 'slowest durable PUT while applying, 256 connections'),
  rate('import', 'webdis', 1, 'NDJSON import against redis-cli --pipe'),
  { load: 'import', figure: 'perSecond', atLeast: 150_000, text: 'NDJSON import, members a second' },
  { load: 'export', figure: 'perSecond', atLeast: 300_000, text: 'NDJSON export, members a second' },

  ...['put-10k', 'put-100k', 'get-10k', 'get-100k', 'get-1m', 'get-15m'].map((load) =>
    rate(load, 'webdis', 1.2, `${load.replace('-', ' of ')} against webdis + Redis`),
  ),
  ...['get-10k', 'get-100k', 'get-1m', 'get-15m'].map((load) =>
    rate(load, 'nginx', 0.8, `${load.replace('-', ' of ')} against nginx serving files`),
  ),

  rate('get', 'memcached', 0.7, 'memcached get against memcached'),
  rate('multiget', 'memcached', 0.5, 'memcached get of 100 keys against memcached'),
  {
    ...rate(
      'multiget',
      'kvist',
      0.8,
      'POST /v1/_read of 100 members against memcached get of 100 keys, both of kvist',
    ),
    contestant: 'read',
  },
  rate('gets', 'memcached', 0.5, '100 memcached gets in a pipeline against memcached'),
  { ...rate('set', 'memcached', 0.5, 'relaxed memcached set against memcached'), contestant: 'relaxed' },
  rate('set', 'put', 1, 'durable memcached set against PUT over HTTP'),
  rate('sets', 'put', 1, '100 durable memcached sets in a pipeline against PUT over HTTP, one at a time'),
  { load: 'set', figure: 'perSecond', against: 'memcached', text: 'durable memcached set against memcached' },
  rate('slap-get', 'memcached', 0.7, 'memcached get against memcached, by memcslap'),
  {
    ...rate('slap-set', 'memcached', 0.5, 'relaxed memcached set against memcached, by memcslap'),
    contestant: 'relaxed',
  },

  reach('each', { figure: 'p99Ms', atMost: 100, text: 'a change reaches its watchers, many keys, p99' }),
  reach('each', {
    figure: 'errors',
    atMost: 0,
    text: 'changes that a watcher missed or got out of order, many keys',
  }),
  reach('one', {
    figure: 'errors',
    atMost: 0,
    text: 'changes that a watcher missed or got out of order, one key',
  }),
  reach('one', { figure: 'p99Ms', text: 'a change reaches its watchers, one key, p99' }),
  reach('all', { figure: 'p99Ms', text: 'a change reaches its watchers, who all watch its key, p99' }),
  reach('all', {
    figure: 'errors',
    atMost: 0,
    text: 'changes that a watcher missed or got out of order, all on a key',
  }),
  rate('put-watched', 'unwatched', 0.9, 'durable PUT with idle watchers on other keys against without'),
  {
    load: 'changes-pages',
    figure: 'perSecond',
    atLeast: 200_000,
    text: 'catching up by pages, changes a second',
  },
  {
    load: 'changes-stream',
    figure: 'perSecond',
    atLeast: 200_000,
    text: 'catching up by a stream, changes a second',
  },
]

function rate(load: string, against: string, atLeast: number, text: string): Bar {
  return { load, figure: 'perSecond', against, atLeast, text }
}

function reach(contestant: string, bar: Omit<Bar, 'load' | 'contestant'>): Bar {
  return { load: 'reach', contestant, ...bar }
}

function slowest(load: string, text: string): Bar {
  return { load, figure: 'maxMs', atMost: 100, text }
}

/** The 99th percentile of the times, against that of another. */
function tail(load: string, against: string, text: string): Bar {
  return { load, figure: 'p99Ms', against, atMost: 1, text }
}

/** Evaluates every bar of the loads that were run. */
export function judge(loads: readonly LoadResult[]): Verdict[] {
  return bars.flatMap((bar) => {
    const rows = loads.find(({ name }) => name === bar.load)?.rows
    if (rows === undefined) return []
    const own = figuresOf(rows, bar.contestant ?? 'kvist', bar.figure)
    const theirs = bar.against === undefined ? own.map(() => 1) : figuresOf(rows, bar.against, bar.figure)
    const rounds = own.slice(0, theirs.length).map((figure, round) => figure / (theirs[round] ?? Number.NaN))
    // One slow response or one error in any round is too many; rates and percentiles count by their median.
    const worstCounts = bar.figure === 'maxMs' || bar.figure === 'errors'
    const value = worstCounts ? Math.max(...rounds) : median(own) / median(theirs)
    return [verdict(bar, bar.against ? '×' : unitOf[bar.figure], value, rounds)]
  })
}

export interface Bound {
  readonly text: string
  readonly atLeast?: number
  readonly atMost?: number
}

/** Compares a figure with its bound. A figure that is not a number was not measured. The rounds give the range. */
export function verdict(
  { text, atLeast, atMost }: Bound,
  unit: string,
  value: number,
  rounds: readonly number[] = [value],
): Verdict {
  const taken = Number.isFinite(value)
  return {
    text,
    unit,
    found: taken ? { value, low: Math.min(...rounds), high: Math.max(...rounds) } : null,
    ...(atLeast !== undefined && { atLeast }),
    ...(atMost !== undefined && { atMost }),
    reached:
      taken && (atLeast === undefined || value >= atLeast) && (atMost === undefined || value <= atMost),
  }
}

function figuresOf(rows: readonly Row[], contestant: string, figure: Figure): number[] {
  const rounds = rows.find((row) => row.contestant === contestant)?.rounds ?? []
  return rounds.map((measure) => measure[figure] ?? null).filter((value) => value !== null)
}

/**
 * Summarizes rounds: medians, but the slowest response of all rounds and the sum of errors. Null if there are no
 * rounds.
 */
export function summaryOf(rounds: readonly Measure[]): Measure | null {
  if (rounds.length === 0) return null
  function middle(figure: 'perSecond' | 'p50Ms' | 'p99Ms' | 'p999Ms' | 'ownMb'): number | null {
    const values = rounds.map((round) => round[figure] ?? null).filter((value) => value !== null)
    return values.length > 0 ? median(values) : null
  }
  const slowestMs = rounds.map((round) => round.maxMs).filter((value) => value !== null)
  return {
    perSecond: middle('perSecond') ?? 0,
    p50Ms: middle('p50Ms'),
    p99Ms: middle('p99Ms'),
    p999Ms: middle('p999Ms'),
    maxMs: slowestMs.length > 0 ? Math.max(...slowestMs) : null,
    errors: rounds.reduce((sum, { errors }) => sum + errors, 0),
    peakMb: Math.max(...rounds.map(({ peakMb }) => peakMb)),
    ownMb: middle('ownMb'),
  }
}
