import { expect, test } from 'bun:test'
import { parseScrape } from './prometheus.ts'
import { isRestarted, maxGapMs, ratesBetween, readingOf } from './reading.ts'

function reading(atMs: number, lines: readonly string[]) {
  return readingOf(parseScrape(['process_start_time_seconds 1000', ...lines].join('\n')), atMs)
}

const quiet = reading(0, [
  'request_count{method="GET",route="/v1/:collection/:key",status="200"} 100',
  'kvist_cache_hits_total 10',
  'kvist_cache_misses_total 10',
])

test('rates are what grew, by the seconds between; what the page itself asks for does not count', () => {
  const busy = reading(2000, [
    'request_count{method="GET",route="/v1/:collection/:key",status="200"} 120',
    'request_count{method="HEAD",route="/v1/:collection/:key",status="404"} 4',
    'request_count{method="PUT",route="/v1/:collection/:key",status="412"} 6',
    'request_count{method="PUT",route="/v1/:collection/:key",status="503"} 2',
    'request_count{method="GET",route="/metrics",status="200"} 50',
    'request_count{method="GET",route="/v1/_nodes",status="500"} 50',
    'request_count{method="GET",route="/console/assets/:file",status="200"} 50',
    'request_count{method="GET",route="/v1/:collection",status="499"} 2',
    'kvist_memcached_commands_total{command="get"} 8',
    'kvist_memcached_commands_total{command="meta"} 8',
    'kvist_cache_hits_total 40',
    'kvist_cache_misses_total 20',
    'request_latency_seconds_bucket{route="/v1/:collection/:key",le="0.001"} 10',
    'request_latency_seconds_bucket{route="/v1/:collection/:key",le="+Inf"} 10',
    'request_latency_seconds_bucket{route="/metrics",le="+Inf"} 1000',
  ])
  expect(ratesBetween(quiet, busy)).toEqual({
    reads: 13,
    writes: 4,
    commands: 4,
    serverErrors: 1,
    refused: 3,
    hitShare: 0.75,
    p50Ms: 0.5,
    p99Ms: 0.99,
  })
})

test('nothing is known before a second reading, after a restart, and after a long time', () => {
  const later = (atMs: number) => ({ ...quiet, atMs })
  const unknown = ratesBetween(undefined, quiet)
  expect(new Set(Object.values(unknown))).toEqual(new Set([null]))
  expect(ratesBetween(quiet, later(0))).toEqual(unknown)
  expect(ratesBetween(quiet, later(maxGapMs + 1))).toEqual(unknown)
  expect(ratesBetween(quiet, later(maxGapMs)).reads).toBe(0)
  expect(ratesBetween(quiet, later(1000)).hitShare).toBeNull()

  const fewer = reading(1000, ['request_count{method="GET",route="/v1/:collection/:key",status="200"} 99'])
  const started = { ...later(1000), startedMs: 2_000_000 }
  for (const after of [fewer, started]) {
    expect(isRestarted(quiet, after)).toBe(true)
    expect(ratesBetween(quiet, after)).toEqual(unknown)
  }
})

test('of a cache node, hits are of what it responded', () => {
  const cache = (hits: number, misses: number) => [
    `kvist_cache_of_responses_total{outcome="hits"} ${hits}`,
    `kvist_cache_of_responses_total{outcome="misses"} ${misses}`,
  ]
  expect(ratesBetween(reading(0, cache(0, 0)), reading(1000, cache(9, 1))).hitShare).toBe(0.9)
})

test('backups and the archive are there only if the server has them', () => {
  const zeros = ['kvist_archive_revision 0', 'kvist_archive_failing 0', 'kvist_backup_last_bytes 0']
  expect(reading(0, zeros).safety).toEqual({ backups: null, archive: null })
  const safe = reading(0, [
    'kvist_archive_revision 70',
    'kvist_archive_lag_seconds 3',
    'kvist_backup_last_success_timestamp_seconds{folder="/b"} 0',
    'kvist_backups_total{outcome="failure"} 2',
  ]).safety
  expect(safe.backups).toEqual({ folder: '/b', lastSuccessMs: null, lastBytes: 0, failures: 2 })
  expect(safe.archive).toMatchObject({ revision: 70, lagSeconds: 3, isFailing: false })
})
