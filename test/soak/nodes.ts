import type { FaultProxy, Flow } from '../support/fault-proxy.ts'
import { nodeLoad, sharedKeys } from '../support/node-load.ts'
import { type NodeProcess, type NodeProcesses, startNodes, untilSame } from '../support/node-processes.ts'
import type { Random } from '../support/random.ts'
import type { Fault } from './fault.ts'

/** Nodes that mirror to each other, under everything that can happen to machines and the lines between them. */
export const nodes: Fault = {
  name: 'nodes',
  does: 'three nodes killed, cut off from each other and with wrong clocks under writers: all end up the same',
  async round({ random, budgetMs }) {
    const cluster = await startNodes({
      count: 3,
      links: random.pick([ring, bothWays]),
      flags: ['--bridge', '--max-clock-ahead', '3h'],
      hasClocks: true,
    })
    const figures = { disturbances: 0, kills: 0, acknowledged: 0 }
    const load = nodeLoad(random)
    const urls = cluster.nodes.map(({ url }) => url)
    try {
      const endAtMs = performance.now() + budgetMs
      let clockMs = 0
      do {
        const writing = load.run(urls)
        const calmAtMs = Math.min(endAtMs, performance.now() + 20_000)
        do {
          figures.kills += await disturb(cluster, random, clockMs)
          figures.disturbances++
          await Bun.sleep(50 + random.int(400))
        } while (performance.now() < calmAtMs)
        load.end()
        // Later than any clock was: what expired for one of them has expired for all.
        clockMs += 2 * hourMs
        await comeToRest(cluster, clockMs)
        await writing
        await untilSame(urls)
        for (const url of urls) await load.verify(url)
        await lastWords(urls, random)
      } while (performance.now() < endAtMs)
      return { ...figures, acknowledged: load.acknowledged() }
    } finally {
      load.end()
      await cluster.stop()
    }
  },
}

const ring: readonly (readonly [number, number])[] = [
  [0, 1],
  [1, 2],
  [2, 0],
]
const bothWays: readonly (readonly [number, number])[] = [
  [0, 1],
  [1, 0],
  [1, 2],
  [2, 1],
]
const hourMs = 3_600_000
const flows: readonly Flow[] = ['stall', 'vanish', { delayMs: 30, bytes: 1000 }]

/** Returns how many nodes were killed. */
async function disturb({ nodes, lines }: NodeProcesses, random: Random, clockMs: number): Promise<number> {
  const node = random.pick(nodes)
  const line = random.pick(lines)
  const kind = random.int(8)
  if (kind < 2) disturbLine(line, random)
  else if (kind < 4) line.heal()
  else if (kind < 5) node.setClock(clockMs + random.pick([0, hourMs, -hourMs, random.int(10_000) - 5000]))
  else return restart(node, random)
  return 0
}

function disturbLine(line: FaultProxy, random: Random): void {
  const kind = random.int(4)
  if (kind === 0) line.reset()
  else if (kind === 1) line.cutAfter(random.int(3000))
  else if (kind === 2) line.refuse(true)
  else line.set(random.pick(flows), random.pick([['up'], ['down'], []] as const)[0])
}

async function restart(node: NodeProcess, random: Random): Promise<number> {
  const isKilled = !random.oneIn(4)
  if (isKilled) await node.server!.crash()
  else await node.server!.stop()
  await Bun.sleep(random.int(300))
  await node.start()
  return Number(isKilled)
}

async function comeToRest({ nodes, lines }: NodeProcesses, clockMs: number): Promise<void> {
  for (const node of nodes) node.setClock(clockMs)
  for (const line of lines) line.heal()
  // What is refused for its time is tried again after a pause; a node that starts begins without one.
  for (const node of nodes) {
    await node.server!.stop()
    await node.start()
  }
}

/** Each shared key is written once more, somewhere: that must be what all have, and what is deleted must not come back. */
async function lastWords(urls: readonly string[], random: Random): Promise<void> {
  const words = Array.from({ length: sharedKeys }, (_, i) => ({
    path: `/v1/c/shared-${i}`,
    value: random.oneIn(3) ? null : `"last ${random.int(1e6)}"`,
  }))
  for (const { path, value } of words) {
    const init = value === null ? { method: 'DELETE' } : { method: 'PUT', body: value }
    const response = await fetch(random.pick(urls) + path, init)
    if (!response.ok && response.status !== 404) throw new Error(`${path}: ${response.status}`)
  }
  await untilSame(urls)
  for (const url of urls) {
    for (const { path, value } of words) {
      const response = await fetch(url + path)
      const text = await response.text()
      const found = response.ok ? text.trim() : null
      if (found !== value) throw new Error(`${url}${path} is ${found}, and the last word was ${value}`)
    }
  }
}
