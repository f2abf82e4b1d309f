import { nextTick } from '../../../src/core/next-tick.ts'
import { compilePattern } from '../../../src/core/pattern.ts'
import { settingsCollection } from '../../../src/core/settings.ts'
import { type Random, random } from '../random.ts'
import { healOnce, unreliable } from './heal.ts'
import { type ClusterModel, clusterModel, type SourcesOf } from './model.ts'
import { type Network, network } from './network.ts'
import { type ClusterNode, clusterNode } from './node.ts'
import { randomOperation } from './operations.ts'
import { interchangeable, randomTopology, sourcesOf, type Topology } from './topology.ts'
import { verify } from './verify.ts'

/**
 * A cluster of simulated nodes in which a seed decides everything: who sends to whom, what clients do, what becomes of
 * each batch, who is killed, and what the clocks show. When it has come to rest every node must have what the model
 * expects of it.
 */
export interface Cluster {
  readonly r: Random
  readonly topology: Topology
  readonly nodes: readonly ClusterNode[]
  readonly net: Network
  readonly model: ClusterModel
  /** The collections that nodes send; empty for all. */
  readonly only: readonly string[]
  /** The collection that is not sent to other nodes; null for none. */
  readonly privateCollection: string | null
  readonly clock: { nowMs: number }
  /** Operations that are not done yet. */
  readonly open: Set<Promise<void>>
  start(node: ClusterNode): Promise<void>
  /** Ends pauses of peers, some or all. */
  wake(all?: 'all'): void
}

export interface ClusterFigures {
  readonly operations: number
  readonly versions: number
  readonly kills: number
}

const noonMs = Date.UTC(2026, 5, 1, 12)
const hourMs = 3_600_000
const skewsMs = [0, 0, 0, 7, 1500, -40_000, hourMs, -hourMs]
const privateCollection = 'private'
/** A cluster that settles does so in far fewer rounds. */
const mostRounds = 5000

export async function runCluster(seed: number, steps: number): Promise<ClusterFigures> {
  const errors: unknown[] = []
  const cluster = await newCluster(random(seed), (error) => errors.push(error))
  const { r, topology, nodes, model } = cluster
  let kills = 0
  try {
    for (let step = 0; step < steps; step++) {
      if (r.oneIn(4)) kills += await disturb(cluster)
      else operate(cluster)
      if (!r.oneIn(3)) await Promise.all(cluster.open)
      cluster.wake()
      for (let i = r.int(6); i > 0; i--) await nextTick()
    }
    await comeToRest(cluster)
    if (errors.length > 0) throw errors[0]
    await verify(cluster)
    return { operations: steps, versions: model.versions().length, kills }
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    throw new Error(`a ${topology.name}, seed ${seed}: ${why}`, { cause: error })
  } finally {
    for (const { running } of nodes) await running?.kill()
  }
}

async function newCluster(r: Random, onError: (error: unknown) => void): Promise<Cluster> {
  const topology = randomTopology(r)
  const model = clusterModel()
  const clock = { nowMs: noonMs }
  const isLate = r.oneIn(3)
  const pageChanges = r.pick([1, 2, 5, 500])
  const nodes = Array.from({ length: topology.size }, () =>
    clusterNode({ model, now: () => clock.nowMs, isLate, pageChanges, onError }),
  ).toSorted((a, b) => (a.id < b.id ? -1 : 1)) // ids are random, and only their order matters
  for (const node of nodes) node.skewMs = r.pick(skewsMs)
  const net = network(nodes, r)
  const maxClockAheadMs = r.oneIn(4) ? 60_000 : 3 * hourMs
  const only = r.oneIn(2) ? [] : ['c*']
  const sleepers = new Set<() => void>()

  function sleep(_ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        sleepers.delete(wake)
        resolve()
      }
      sleepers.add(wake)
      signal.addEventListener('abort', wake, { once: true })
      if (signal.aborted) wake()
    })
  }

  const cluster: Cluster = {
    r,
    topology,
    nodes,
    net,
    model,
    only,
    privateCollection: only.length === 0 ? null : privateCollection,
    clock,
    open: new Set(),
    async start(node) {
      const at = nodes.indexOf(node)
      const addresses = topology.links.filter(([from]) => from === at).map(([, to]) => to)
      const patterns = only.map((pattern) => compilePattern(pattern))
      const rules = { only: patterns, tokensCollection: null, isBridge: topology.isBridge[at]! }
      const targets = addresses.map((address) => net.target(node, address))
      await node.start({ targets, rules, sleep, maxClockAheadMs })
    },
    wake(all) {
      for (const wake of [...sleepers]) if (all !== undefined || r.oneIn(2)) wake()
    },
  }
  for (const node of nodes) await cluster.start(node)
  return cluster
}

/** Something that a client does at one of the nodes. */
function operate(cluster: Cluster): void {
  const { r, nodes, open } = cluster
  const { running } = r.pick(nodes)
  if (running === null) return
  const done: Promise<void> = randomOperation(running, r).finally(() => open.delete(done))
  open.add(done)
}

/** Something that happens to the machines and the lines between them. Returns how many nodes were killed. */
async function disturb(cluster: Cluster): Promise<number> {
  const { r, nodes, net, topology, clock } = cluster
  const node = r.pick(nodes)
  const kind = r.int(13)
  if (kind < 4) clock.nowMs += r.oneIn(10) ? r.int(hourMs) : r.int(2000)
  else if (kind < 5) node.skewMs = r.pick(skewsMs)
  else if (kind < 6) heal(cluster)
  else if (kind < 8) {
    const [from, to] = r.pick(topology.links)
    net.setCut(from, to, !net.isCut(from, to))
  } else if (kind < 9) net.deliverLate()
  else if (kind < 10) {
    const pairs = interchangeable(topology)
    if (pairs.length > 0) net.swap(...r.pick(pairs))
  } else if (node.running === null) await cluster.start(node)
  else if (r.oneIn(3)) await node.running.stop()
  else {
    await node.running.kill()
    if (r.oneIn(2)) await node.loseProgress(r)
    if (r.oneIn(2)) await cluster.start(node)
    return 1
  }
  return 0
}

/** Begins to compare a node with one of its targets. */
function heal({ r, topology, nodes, net, only, open }: Cluster): void {
  const [from, to] = r.pick(topology.links)
  const [node, target] = [nodes[from]!.running, nodes[to]!.running]
  if (node === null || target === null || net.isCut(from, to)) return
  const done: Promise<void> = healOnce(node, unreliable(target.compared, r), only).finally(() =>
    open.delete(done),
  )
  open.add(done)
}

/** Ends all trouble, sets all clocks right, later than any of them was, and waits until no node has more to send. */
async function comeToRest(cluster: Cluster): Promise<void> {
  const { nodes, net, clock, open } = cluster
  net.calm()
  for (const node of nodes) if (node.running === null) await cluster.start(node)
  clock.nowMs += 3 * hourMs
  for (const node of nodes) node.skewMs = 0
  for (const [i, { running }] of nodes.entries()) {
    await running!.db.put('c', `last-${i}`, { ...lastValue, expiresAtMs: null })
  }
  for (let idle = 0, round = 0; idle < 3; round++) {
    if (round === mostRounds) throw new Error(`it does not come to rest: ${statusOf(nodes)}`)
    cluster.wake('all')
    net.deliverLate()
    for (const { running } of nodes) running!.timers.pass(1000)
    await nextTick()
    idle = net.underWay() === 0 && open.size === 0 && nodes.every(isIdle) ? idle + 1 : 0
  }
}

const lastValue = { value: '"last"', contentType: 'application/json', flags: 0 }

function isIdle({ running }: ClusterNode): boolean {
  return running!.mirror.status().every(({ state, lagChanges }) => state === 'current' && lagChanges === 0)
}

function statusOf(nodes: readonly ClusterNode[]): string {
  return JSON.stringify(nodes.map(({ running }) => running!.mirror.status()))
}

/** Settings travel with their collection. */
export function sourcesOfNode(
  { nodes, topology, privateCollection: own }: Cluster,
  node: ClusterNode,
): SourcesOf {
  const all = new Set([...sourcesOf(topology, nodes.indexOf(node))].map((i) => nodes[i]!.id))
  const self = new Set([node.id])
  return ({ collection, key }) =>
    (collection === settingsCollection ? key : collection) === own ? self : all
}
