import { expect } from 'bun:test'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { until } from './support/engine.ts'
import { needing } from './support/needs.ts'
import { type Machine, twoMachines } from './support/network-namespaces.ts'
import { nodesFile } from './support/redis-cluster.ts'
import { startServer } from './support/server.ts'

/**
 * A cluster that a cut cable splits: one machine has a primary, the replicas of the two others and a kvist server, the other has
 * the rest and a kvist server. The first stops to write after the node timeout; on the second the replica is promoted.
 * `npm run test:redis` runs it, in half a minute.
 */

const { test } = needing('redis', 'networkNamespaces')

/** By server, as in `nodesFile`: three primaries, then the replica of each. */
const machineOf = [0, 1, 1, 1, 0, 0] as const
const portOf = (server: number) => 7101 + server
const busPortOf = (server: number) => 17101 + server

async function startCluster(machines: readonly Machine[]) {
  const folder = mkdtempSync(join(tmpdir(), 'kvist-redis-split-'))
  const nodes = machineOf.map((machine, server) => ({
    id: `${server}`.repeat(40),
    host: machines[machine]!.address,
    port: portOf(server),
    busPort: busPortOf(server),
    primary: server < 3 ? null : server - 3,
  }))
  const children = nodes.map(({ host, port, busPort }, server) => {
    const own = join(folder, `${server}`)
    mkdirSync(own)
    writeFileSync(join(own, 'nodes.conf'), nodesFile(nodes, server))
    const flags = { bind: host, 'protected-mode': 'no', save: '', appendonly: 'yes', appendfsync: 'always' }
    const ofCluster = {
      'cluster-enabled': 'yes',
      'cluster-port': `${busPort}`,
      'cluster-node-timeout': '2000',
    }
    const all = { dir: own, port: `${port}`, ...flags, ...ofCluster, 'repl-diskless-sync-delay': '0' }
    const given = Object.entries(all).flatMap(([name, value]) => [`--${name}`, value])
    const command = machines[machineOf[server]!]!.inside('redis-server', ...given)
    return Bun.spawn([...command], { stdin: 'ignore', stdout: 'ignore', stderr: 'ignore' })
  })
  const ask = (server: number, ...command: string[]) => {
    const { host, port } = nodes[server]!
    const cli = ['redis-cli', '-h', host, '-p', `${port}`, ...command]
    return Bun.spawnSync([...machines[machineOf[server]!]!.inside(...cli)]).stdout.toString()
  }
  const settled = () =>
    nodes.every((_, server) => {
      const replication = ask(server, 'INFO', 'replication')
      const isReplicated = replication.includes('role:master')
        ? replication.includes('state=online')
        : replication.includes('master_link_status:up')
      return isReplicated && ask(server, 'CLUSTER', 'INFO').includes('cluster_state:ok')
    })
  return {
    urls: nodes.map(({ host, port }) => `${host}:${port}`).join(','),
    settle: () => until(() => settled(), 'the cluster has settled'),
    async stop() {
      for (const child of children) child.kill('SIGKILL')
      await Promise.all(children.map(({ exited }) => exited))
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

async function startFrontEnd(machine: Machine, engine: string, replicas: number) {
  const times = ['--redis-timeout', '1s', '--redis-patience', '3s', '--redis-wait-timeout', '500ms']
  const flags = [
    '--engine',
    `redis://${engine}`,
    '--redis-lines',
    '4',
    '--redis-wait',
    `${replicas}`,
    ...times,
  ]
  const server = await startServer({ store: 'none', command: machine.command, flags })
  const { socket } = await machine.reach(server.port)
  const request = (path: string, init: RequestInit = {}) =>
    fetch(server.url + path, { ...init, unix: socket })
  const sets = { acknowledged: new Map<string, number>(), unknown: new Set<string>() }
  let isStopped = false

  async function write(key: string): Promise<void> {
    const sent = performance.now()
    const response = await request(`/v1/c/${key}`, { method: 'PUT', body: '1' }).catch(() => null)
    await response?.arrayBuffer()
    if (response?.ok) sets.acknowledged.set(key, sent)
    else if (response === null || response.status !== 503) sets.unknown.add(key)
  }
  async function work(name: string): Promise<void> {
    for (let i = 0; !isStopped; i++) await write(`${name}-${i}`)
  }
  return {
    ...sets,
    request,
    /** Writes members until it is stopped; each has a key of its own. */
    load(name: string) {
      const workers = Array.from({ length: 32 }, (_, worker) => work(`${name}-${worker}`))
      return async () => {
        isStopped = true
        await Promise.all(workers)
      }
    },
    /** Where a watcher stands by now. */
    async cursor(): Promise<string> {
      const abort = new AbortController()
      const headers = { accept: 'text/event-stream' }
      const stream = await request('/v1/_changes', { headers, signal: abort.signal })
      let text = ''
      for await (const part of stream.body!) {
        text += new TextDecoder().decode(part)
        if (/^id: ?\S+\n/m.test(text)) break
      }
      abort.abort()
      return /^id: ?(\S+)/m.exec(text)![1]!
    },
    async setbacks(): Promise<number> {
      const text = await (await request('/metrics')).text()
      return Number(/kvist_redis_events_total\{[^}]*setbacks[^}]*\} (\d+)/.exec(text)?.[1] ?? 0)
    },
    remove: () => server.remove(),
  }
}

test.each([0, 1])(
  'what a split loses is what the smaller side acknowledged within the node timeout, and is reported; with --redis-wait %d',
  async (replicas) => {
    const { machines, setCable, stop } = await twoMachines()
    const cluster = await startCluster(machines)
    const fronts: Awaited<ReturnType<typeof startFrontEnd>>[] = []
    try {
      await cluster.settle()
      for (const machine of machines) fronts.push(await startFrontEnd(machine, cluster.urls, replicas))
      const [small, large] = fronts as [(typeof fronts)[0], (typeof fronts)[0]]
      const stops = [small.load('small'), large.load('large')]
      const grows = async (front: typeof small, more: number) => {
        const enough = front.acknowledged.size + more
        await until(() => front.acknowledged.size >= enough, 'writes are acknowledged')
      }
      await Promise.all([grows(small, 50), grows(large, 50)])
      const cutMs = performance.now()
      setCable(false)
      if (replicas === 0) await grows(small, 5)
      const cursor = await small.cursor()
      await Bun.sleep(8000)
      // The larger side goes on; with one replica that must have each write, and that one cut off, it acknowledges none.
      if (replicas === 0) await grows(large, 200)
      const healMs = performance.now()
      setCable(true)
      await cluster.settle()
      await Promise.all([grows(small, 50), grows(large, 50)])
      for (const stopLoad of stops) await stopLoad()
      const found = await keysOf(large)
      expect(await keysOf(small)).toEqual(found)
      const lost = [...small.acknowledged].filter(([key]) => !found.has(key))
      expect([...large.acknowledged].filter(([key]) => !found.has(key))).toEqual([])
      // The node timeout, and what was sent just before.
      for (const [, sentMs] of lost) expect(sentMs).toBeWithin(cutMs - 1000, Math.min(healMs, cutMs + 4000))
      const known = new Set(
        fronts.flatMap(({ acknowledged, unknown }) => [...acknowledged.keys(), ...unknown]),
      )
      expect([...found].filter((key) => !known.has(key))).toEqual([])
      console.log(
        `--redis-wait ${replicas}: ${lost.length} of ${small.acknowledged.size} acknowledged were lost`,
      )
      if (replicas === 1) expect(lost).toEqual([])
      if (lost.length > 0) {
        expect(await small.setbacks()).toBeGreaterThan(0)
        expect((await small.request(`/v1/_changes?since=${cursor}`)).status).toBe(410)
      }
    } finally {
      for (const front of fronts) await front.remove()
      await cluster.stop()
      await stop()
    }
  },
  120_000,
)

async function keysOf({ request }: { readonly request: (path: string) => Promise<Response> }) {
  const keys = new Set<string>()
  for (let cursor = ''; ; ) {
    const page = await request(`/v1/c?include=keys&limit=10000${cursor === '' ? '' : `&cursor=${cursor}`}`)
    const { members, next } = (await page.json()) as { members: { key: string }[]; next: string | null }
    for (const { key } of members) keys.add(key)
    if (next === null) return keys
    cursor = encodeURIComponent(next)
  }
}
