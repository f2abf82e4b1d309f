import client from 'prom-client'
import type { Histogram } from '../core/histogram.ts'
import { collectionLabels } from './collection-labels.ts'
import { counters } from './counters.ts'
import { gauges } from './gauges.ts'
import type { Metric, Sample, Scrape } from './metric.ts'
import type { Counted, Exposed, MetricSources } from './metric-sources.ts'
import { SummedHistogram } from './summed-histogram.ts'

const histograms: readonly Metric<Histogram>[] = [
  {
    name: 'request_latency_seconds',
    help: 'Time from a request to its response; of a streamed response, to its beginning',
    labels: ['method', 'route'],
    read: (_scrape, { routes }) =>
      routes
        .filter(({ seconds }) => seconds.counts.some((count) => count > 0))
        .map(({ method, route, seconds }) => ({ labels: { method, route }, value: seconds })),
  },
  {
    name: 'kvist_commit_group_size',
    help: 'Commits that went to disk together',
    read: ({ stats }) => stats.engine.groupCommits,
  },
  {
    name: 'kvist_fsync_seconds',
    help: 'Time that a sync to disk took',
    read: ({ stats }) => stats.engine.syncSeconds,
  },
  {
    name: 'kvist_commit_wait_seconds',
    help: 'Time that a group of commits waited before its sync: for the group before, for room in the log, or throttled',
    labels: ['for'],
    read: ({ stats }) =>
      Object.entries(stats.engine.waitSeconds).map(([what, value]) => ({ labels: { for: what }, value })),
  },
  {
    name: 'kvist_eventloop_delay_seconds',
    help: 'How late a timer was, every 20 ms since the first scrape: requests wait as long',
    read: (_scrape, { loopDelaySeconds }) => loopDelaySeconds,
  },
]

/** prom-client's own metrics that are meaningless or wrong under Bun. */
const sayNothing = [
  'process_heap_bytes', // address space, gigabytes of which are reserved and never used
  'process_virtual_memory_bytes',
  'nodejs_gc_duration_seconds',
  ...['', '_min', '_max', '_mean', '_stddev', '_p50', '_p90', '_p99'].map(
    (part) => `nodejs_eventloop_lag${part}_seconds`,
  ),
  'nodejs_active_resources',
  'nodejs_active_resources_total',
  'nodejs_active_handles',
  'nodejs_active_handles_total',
  'nodejs_active_requests',
  'nodejs_active_requests_total',
  'nodejs_heap_space_size_total_bytes',
  'nodejs_heap_space_size_used_bytes',
  'nodejs_heap_space_size_available_bytes',
]

/** Registers all metrics, and prom-client's own of process and event loop. Returns a function that renders them. */
export function exposition(counted: Counted): (sources: MetricSources) => Promise<Exposed> {
  const registry = new client.Registry()
  const labelsOf = collectionLabels()
  let scrape: Scrape | undefined

  function samplesOf<Value>({ read }: Metric<Value>): readonly Sample<Value>[] {
    if (scrape === undefined) return []
    const found = read(scrape, counted)
    return isSamples(found) ? found : [{ labels: {}, value: found }]
  }

  function shared(metric: Metric<unknown>) {
    return {
      name: metric.name,
      help: metric.help,
      labelNames: [...(metric.labels ?? [])],
      registers: [registry],
    }
  }

  for (const metric of counters) {
    new client.Counter({
      ...shared(metric),
      collect() {
        this.reset()
        for (const { labels, value } of samplesOf(metric)) this.inc(labels, value)
      },
    })
  }
  for (const metric of gauges) {
    new client.Gauge({
      ...shared(metric),
      collect() {
        this.reset()
        for (const { labels, value } of samplesOf(metric)) this.set(labels, value)
      },
    })
  }
  for (const metric of histograms) new SummedHistogram(shared(metric), () => samplesOf(metric))
  client.collectDefaultMetrics({ register: registry })
  for (const name of sayNothing) registry.removeSingleMetric(name)

  return async (sources) => {
    const collections = await labelsOf(() => sources.database.collections())
    scrape = { sources, stats: sources.database.stats(), collections }
    return { contentType: registry.contentType, text: await registry.metrics() }
  }
}

function isSamples<Value>(found: Value | readonly Sample<Value>[]): found is readonly Sample<Value>[] {
  return Array.isArray(found)
}
