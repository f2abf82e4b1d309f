import type { Database } from '../core/database.ts'
import type { LabelledCollections } from './collection-labels.ts'
import type {
  CacheNodeNumbers,
  ConnectionNumbers,
  Counted,
  LimitNumbers,
  MemoryNumbers,
  MetricSources,
} from './metric-sources.ts'
import type { WatchKind } from './watch-counts.ts'

/** What a metric is, and the samples of metrics that have one for each collection, protocol, node or kind. */

/** The data of one scrape; each source is read once. */
export interface Scrape {
  readonly sources: MetricSources
  readonly stats: ReturnType<Database['stats']>
  readonly collections: LabelledCollections
}

export interface Sample<Value> {
  readonly labels: Record<string, string | number>
  readonly value: Value
}

export interface Metric<Value> {
  readonly name: string
  readonly help: string
  readonly labels?: readonly string[]
  readonly read: (scrape: Scrape, counted: Counted) => Value | readonly Sample<Value>[]
}

export function ofCollection(collection: string, value: number): Sample<number> {
  return { labels: { collection }, value }
}

export function ofKinds(counts: Readonly<Record<WatchKind, number>>): Sample<number>[] {
  return Object.entries(counts).map(([kind, value]) => ({ labels: { kind }, value }))
}

/** The label of a metric that has a sample for each of several items, and how it is read. */
type OfEach = Pick<Metric<number>, 'labels' | 'read'>

function ofEach<Item>(
  label: string,
  itemsOf: (sources: MetricSources) => readonly (readonly [string, Item])[],
  select: (item: Item) => number | null,
): OfEach {
  return {
    labels: [label],
    read: ({ sources }) =>
      itemsOf(sources).flatMap(([name, item]) => {
        const value = select(item)
        return value === null ? [] : [{ labels: { [label]: name }, value }]
      }),
  }
}

export function ofProtocols(select: (numbers: ConnectionNumbers) => number): OfEach {
  return ofEach('protocol', ({ connections }) => Object.entries(connections), select)
}

export function ofLimits(select: (numbers: LimitNumbers) => number): OfEach {
  return ofEach('protocol', ({ limits }) => Object.entries(limits), select)
}

export function ofPurposes(select: (numbers: MemoryNumbers) => number): OfEach {
  return ofEach('purpose', ({ requestMemory }) => Object.entries(requestMemory), select)
}

/** Null from `select` is no sample of the target. */
export function ofTargets(
  select: (target: MetricSources['nodes']['targets'][number]) => number | null,
): OfEach {
  return ofEach('target', ({ nodes }) => nodes.targets.map((target) => [target.url, target] as const), select)
}

export function ofLeader(
  select: (following: NonNullable<MetricSources['nodes']['following']>) => number,
): OfEach {
  return ofEach(
    'leader',
    ({ nodes: { following } }) => (following === null ? [] : [[following.url, following]]),
    select,
  )
}

export function ofOrigins(select: (origin: CacheNodeNumbers['origins'][number]) => number): OfEach {
  return ofEach(
    'origin',
    ({ cacheOf }) => (cacheOf?.origins ?? []).map((origin) => [origin.url, origin] as const),
    select,
  )
}
