import { expect, test } from 'bun:test'
import { parseSamples, type Sample, sampleOf } from '../../test/support/prometheus.ts'
import { groupCommitBounds, syncSecondsBounds } from '../core/engine.ts'
import { KvistError } from '../core/errors.ts'
import { histogram, observe } from '../core/histogram.ts'
import type { MetricSources } from './metric-sources.ts'
import { type Metrics, startMetrics } from './metrics.ts'

/** What a comparison with a target mended. */
const heal = { failures: 38, mended: 39, undecided: 40, lastRunMs: 41_000 }

function sources(): MetricSources {
  const groupCommits = histogram([1, 2, 4])
  const syncSeconds = histogram([0.001, 0.01])
  for (const size of [1, 3, 9]) observe(groupCommits, size)
  observe(syncSeconds, 0.002)
  const throttle = histogram([0.001, 0.01])
  observe(throttle, 0.004)
  const waitSeconds = { throttle }
  const engine = { commits: 13, failedChecks: 2, writes: 20, groupCommits, syncSeconds, waitSeconds }
  const watch = { watchers: 3, events: 40, fallbacks: 2 }
  return {
    version: '1.2.3',
    cacheLimitBytes: 1000,
    database: {
      stats: () => ({
        cache: { hits: 5, misses: 4, evictions: 8, entries: 3, bytes: 200 },
        swept: 7,
        renewed: 6,
        indexes: { building: 1, ready: 2, failed: 3, examined: 512 },
        engine,
        watch,
      }),
      collections: () => [{ name: 'a "b"\\', members: 2, bytes: 30 }],
    },
    openRequests: () => 1,
    watches: {
      open: { member: 1, collection: 2, store: 3, poll: 4 },
      events: { member: 5, collection: 6, store: 7, poll: 8 },
    },
    requestMemory: { values: { limitBytes: 20, usedBytes: 21, waiting: 22 } },
    maxConnections: 12,
    connections: {
      http: { open: 4, evicted: 5, rejected: 6 },
      memcached: { open: 7, evicted: 8, rejected: 9 },
    },
    nodes: {
      conflicts: 31,
      following: { url: 'http://a', state: 'current', received: 37 },
      targets: [
        {
          url: 'http://b',
          state: 'current',
          lagChanges: 0,
          lagSeconds: 0,
          sent: 32,
          failures: 33,
          setbacks: 42,
          heal,
        },
        {
          url: 'http://c',
          state: 'retrying',
          lagChanges: null,
          lagSeconds: 34,
          sent: 35,
          failures: 36,
          setbacks: 43,
          heal: null,
        },
      ],
    },
    limits: {
      http: { rateLimited: 21, wrongTokens: 22, wrongTokensLimited: 23 },
      memcached: { rateLimited: 24, wrongTokens: 25, wrongTokensLimited: 26 },
    },
  }
}

async function scrape(metrics: Metrics): Promise<Sample[]> {
  return parseSamples((await metrics.expose(sources())).text)
}

test('responses are counted by route and status, and their times fall under their bounds', async () => {
  const metrics = startMetrics()
  const get = metrics.route('GET', '/v1/:collection/:key')
  metrics.route('PUT', '/never/asked')
  for (const seconds of [0.00005, 0.0001, 0.3, 60]) get(200, seconds)
  get(404, 0.00005)
  const samples = await scrape(metrics)
  const route = { method: 'GET', route: '/v1/:collection/:key' }
  expect(samples.filter(({ name }) => name === 'request_count')).toHaveLength(2)
  expect(sampleOf(samples, 'request_count', { ...route, status: '200' })).toBe(4)
  expect(sampleOf(samples, 'request_count', { ...route, status: '404' })).toBe(1)
  const bucket = (le: string) => sampleOf(samples, 'request_latency_seconds_bucket', { ...route, le })
  expect(['0.0001', '0.25', '0.5', '10', '+Inf'].map(bucket)).toEqual([3, 3, 4, 4, 5])
  expect(sampleOf(samples, 'request_latency_seconds_count', route)).toBe(5)
  expect(sampleOf(samples, 'request_latency_seconds_sum', route)).toBeCloseTo(60.3002, 6)
})

test('histograms have these bounds, on which dashboards and alerts of operators rely', async () => {
  const metrics = startMetrics()
  metrics.route('GET', '/x')(200, 0.1)
  const buckets = (await scrape(metrics)).filter(({ name }) => name === 'request_latency_seconds_bucket')
  const bounds = [
    ...[0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05],
    ...[0.1, 0.25, 0.5, 1, 2.5, 5, 10, '+Inf'],
  ]
  expect(buckets.map(({ labels }) => labels.le)).toEqual(bounds.map(String))
  expect(groupCommitBounds).toEqual(Array.from({ length: 11 }, (_, i) => 2 ** i))
  const syncs = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5]
  expect(syncSecondsBounds).toEqual(syncs)
})

test('a scrape shows sums: the next one starts from them', async () => {
  const metrics = startMetrics()
  const get = metrics.route('GET', '/x')
  get(200, 0.1)
  await scrape(metrics)
  get(200, 0.1)
  const samples = await scrape(metrics)
  expect(sampleOf(samples, 'request_count')).toBe(2)
  expect(sampleOf(samples, 'request_latency_seconds_count')).toBe(2)
  expect(sampleOf(samples, 'kvist_commits_total')).toBe(13)
  expect(sampleOf(samples, 'kvist_commit_group_size_count')).toBe(3)
})

test('internal errors are counted by code, from zero', async () => {
  const metrics = startMetrics()
  metrics.error(new TypeError('oops'))
  metrics.error('thrown text')
  metrics.error(new KvistError('storage_full', 'the disk is full'))
  const samples = (await scrape(metrics)).filter(({ name }) => name === 'internal_error_count')
  expect(Object.fromEntries(samples.map(({ labels, value }) => [labels.code, value]))).toEqual({
    internal: 2,
    damaged: 0,
    storage_full: 1,
    storage_failed: 0,
    busy: 0,
    unavailable: 0,
    outcome_unknown: 0,
  })
})

test('damaged reads are counted by collection, of a bounded number of them', async () => {
  const metrics = startMetrics()
  const damage = (collection?: string) =>
    new KvistError('damaged', 'it is damaged', collection === undefined ? {} : { collection, key: 'k' })
  const reads = async () =>
    Object.fromEntries(
      (await scrape(metrics))
        .filter(({ name }) => name === 'kvist_damaged_reads_total')
        .map(({ labels, value }) => [labels.collection, value]),
    )
  metrics.error(damage('a'))
  metrics.error(damage('a'))
  metrics.error(new Error('the settings of b cannot be read', { cause: damage('b') }))
  metrics.error(damage())
  metrics.error(new KvistError('storage_failed', 'the tables cannot be read', { collection: 'c' }))
  expect(await reads()).toEqual({ a: 2, b: 1, _store: 1 })
  for (let i = 0; i < 200; i++) metrics.error(damage(`c${i}`))
  metrics.error(damage('a'))
  const all = await reads()
  expect(Object.keys(all)).toHaveLength(101)
  expect(all).toMatchObject({ a: 3, b: 1, _store: 1, _others: 103 })
})

const reported: [name: string, labels: Record<string, string>, value: number | undefined][] = [
  ['kvist_info', { version: '1.2.3' }, 1],
  ['kvist_collections', {}, 1],
  ['kvist_members', {}, 2],
  ['kvist_bytes', {}, 30],
  ['kvist_collection_members', { collection: 'a "b"\\' }, 2],
  ['kvist_collection_bytes', { collection: 'a "b"\\' }, 30],
  ['kvist_commits_total', {}, 13],
  ['kvist_failed_checks_total', {}, 2],
  ['kvist_writes_total', {}, 20],
  ['kvist_expired_total', {}, 7],
  ['kvist_renewed_total', {}, 6],
  ['kvist_indexes', { state: 'building' }, 1],
  ['kvist_indexes', { state: 'ready' }, 2],
  ['kvist_indexes', { state: 'failed' }, 3],
  ['kvist_index_examined_members', {}, 512],
  ['kvist_cache_hits_total', {}, 5],
  ['kvist_cache_misses_total', {}, 4],
  ['kvist_cache_evictions_total', {}, 8],
  ['kvist_cache_entries', {}, 3],
  ['kvist_cache_bytes', {}, 200],
  ['kvist_cache_limit_bytes', {}, 1000],
  ['kvist_open_requests', {}, 1],
  ['kvist_open_watches', { kind: 'collection' }, 2],
  ['kvist_open_watches', { kind: 'poll' }, 4],
  ['kvist_watch_events_total', { kind: 'member' }, 5],
  ['kvist_watch_events_total', { kind: 'store' }, 7],
  ['kvist_watch_fallbacks_total', {}, 2],
  ['kvist_open_connections', { protocol: 'http' }, 4],
  ['kvist_open_connections', { protocol: 'memcached' }, 7],
  ['kvist_evicted_connections_total', { protocol: 'http' }, 5],
  ['kvist_rate_limited_total', { protocol: 'http' }, 21],
  ['kvist_rate_limited_total', { protocol: 'memcached' }, 24],
  ['kvist_wrong_tokens_total', { protocol: 'http' }, 22],
  ['kvist_wrong_tokens_limited_total', { protocol: 'http' }, 23],
  ['kvist_rejected_connections_total', { protocol: 'memcached' }, 9],
  ['kvist_max_connections', {}, 12],
  ['kvist_request_memory_bytes', { purpose: 'values' }, 21],
  ['kvist_request_memory_limit_bytes', { purpose: 'values' }, 20],
  ['kvist_requests_waiting_for_memory', { purpose: 'values' }, 22],
  ['kvist_commit_group_size_bucket', { le: '1' }, 1],
  ['kvist_commit_group_size_bucket', { le: '4' }, 2],
  ['kvist_commit_group_size_bucket', { le: '+Inf' }, 3],
  ['kvist_commit_group_size_sum', {}, 13],
  ['kvist_fsync_seconds_bucket', { le: '0.01' }, 1],
  ['kvist_fsync_seconds_sum', {}, 0.002],
  ['kvist_commit_wait_seconds_bucket', { for: 'throttle', le: '0.001' }, 0],
  ['kvist_commit_wait_seconds_bucket', { for: 'throttle', le: '0.01' }, 1],
]

test('what the store, the cache and the listeners count is there', async () => {
  const samples = await scrape(startMetrics())
  for (const [name, labels, value] of reported) {
    expect({ name, labels, value: sampleOf(samples, name, labels) }).toEqual({ name, labels, value })
  }
})

test('process and event loop are there, and nothing that says nothing under Bun', async () => {
  const names = new Set((await scrape(startMetrics())).map(({ name }) => name))
  for (const name of [
    'process_cpu_seconds_total',
    'process_resident_memory_bytes',
    'process_start_time_seconds',
    'kvist_eventloop_delay_seconds_count',
    'nodejs_heap_size_used_bytes',
  ]) {
    expect(names).toContain(name)
  }
  expect([...names].filter((name) => /gc_duration|heap_space|active_|eventloop_lag/.test(name))).toEqual([])
})

test('every metric has a help text', async () => {
  const { text, contentType } = await startMetrics().expose(sources())
  expect(contentType).toBe('text/plain; version=0.0.4; charset=utf-8')
  const types = [...text.matchAll(/^# TYPE (\S+) /gm)].map(([, name]) => name)
  const helps = [...text.matchAll(/^# HELP (\S+) \S/gm)].map(([, name]) => name)
  expect(helps).toEqual(types)
})
