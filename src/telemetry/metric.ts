import type { Database } from '../core/database.ts'
import type { LabelledCollections } from './collection-labels.ts'
import type { CacheNodeNumbers, ConnectionNumbers, Counted, MetricSources } from './metric-sources.ts'
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

export function ofProtocols(
  { connections }: MetricSources,
  select: (numbers: ConnectionNumbers) => number,
): Sample<number>[] {
  return byProtocol(connections, select)
}

export function ofTargets(
  { nodes }: MetricSources,
  read: (target: MetricSources['nodes']['targets'][number]) => number | null,
) {
  return nodes.targets.flatMap((target) => {
    const value = read(target)
    return value === null ? [] : [{ labels: { target: target.url }, value }]
  })
}

export function ofLeader(
  { nodes: { following } }: MetricSources,
  read: (following: NonNullable<MetricSources['nodes']['following']>) => number,
): Sample<number>[] {
  return following === null ? [] : [{ labels: { leader: following.url }, value: read(following) }]
}

export function ofOrigins(
  { cacheOf }: MetricSources,
  read: (origin: CacheNodeNumbers['origins'][number]) => number,
): Sample<number>[] {
  return (cacheOf?.origins ?? []).map((origin) => ({ labels: { origin: origin.url }, value: read(origin) }))
}

export function ofKinds(counts: Readonly<Record<WatchKind, number>>): Sample<number>[] {
  return Object.entries(counts).map(([kind, value]) => ({ labels: { kind }, value }))
}

export function byProtocol<Numbers>(
  all: Readonly<Record<string, Numbers>>,
  select: (numbers: Numbers) => number,
): Sample<number>[] {
  return Object.entries(all).map(([protocol, numbers]) => ({ labels: { protocol }, value: select(numbers) }))
}
