/**
 * Measures kvist on a Redis Cluster of three primaries: one kvist server and two beside it, pages of a large collection,
 * the memory of a member, and how long a change takes to reach watchers of another server. `--help` lists the options.
 */
import { mkdirSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { importIntoKvist } from './bulk.ts'
import { kvistRequests } from './kvist-requests.ts'
import { chooseOptions, redisClusterOptions } from './options.ts'
import { killAll, removeFolder, type Server } from './process.ts'
import { type RedisTurn, redisCli, redisTurn, startFrontEnd, startRedisServer } from './redis-turns.ts'
import { median } from './statistics.ts'
import { makeChanges } from './watch-changes.ts'
import { openWatchers } from './watchers.ts'
import type { RawRequest } from './wrk.ts'

const redisPorts = [17_860, 17_861, 17_862] as const
const ports = [17_863, 17_864] as const
const watchedKeys = 100
const slots = 16_384

const options = chooseOptions(redisClusterOptions)
const dataDir = join(resolve(options.text('data')), 'redis-cluster')
const members = options.number('members')
/** Stopped in the end, the last first. */
const running: Server[] = []

async function startCluster(): Promise<Server[]> {
  const servers: Server[] = []
  for (const port of redisPorts) {
    const config = join(dataDir, `${port}.conf`)
    const cluster = ['--cluster-enabled', 'yes', '--cluster-config-file', config]
    const server = await startRedisServer(dataDir, port, cluster)
    running.push(server)
    servers.push(server)
  }
  for (const [i, port] of redisPorts.entries()) {
    const from = Math.floor((i * slots) / redisPorts.length)
    const to = Math.floor(((i + 1) * slots) / redisPorts.length) - 1
    redisCli(port, 'cluster', 'addslotsrange', `${from}`, `${to}`)
    redisCli(port, 'cluster', 'set-config-epoch', `${i + 1}`)
    redisCli(port, 'cluster', 'meet', '127.0.0.1', `${redisPorts[0]}`)
  }
  for (let tries = 0; tries < 200; tries++) {
    const states = redisPorts.map((port) => redisCli(port, 'cluster', 'info'))
    const isWhole = (state: string) => /cluster_state:ok/.test(state) && /cluster_known_nodes:3/.test(state)
    if (states.every(isWhole)) return servers
    await Bun.sleep(100)
  }
  throw new Error('the cluster was not whole in 20 s')
}

function usedBytes(): number {
  return redisPorts.reduce((sum, port) => {
    return sum + Number(/^used_memory:(\d+)/m.exec(redisCli(port, 'info', 'memory'))?.[1])
  }, 0)
}

interface Step {
  readonly title: string
  readonly request: RawRequest
  readonly connections: number
  readonly ports: readonly number[]
}

const one = ports.slice(0, 1)
const steps: readonly Step[] = [
  ...[64, 256].flatMap((connections) =>
    (['get', 'put'] as const).flatMap((name) => [
      { title: `${name.toUpperCase()}, one server`, request: kvistRequests[name], connections, ports: one },
      { title: `${name.toUpperCase()}, two servers`, request: kvistRequests[name], connections, ports },
    ]),
  ),
  { title: 'page of 100', request: kvistRequests.page, connections: 1, ports: one },
  { title: 'page of 100', request: kvistRequests.page, connections: 16, ports: one },
]

async function measure(redis: readonly Server[], frontEnds: readonly Server[]): Promise<string[]> {
  const found = steps.map(() => [] as RedisTurn[])
  const seconds = options.number('seconds')
  for (let round = 1; round <= options.number('rounds'); round++) {
    const order = [...steps.entries()]
    for (const [i, step] of round % 2 === 0 ? order.toReversed() : order) {
      const servers = frontEnds.slice(0, step.ports.length)
      found[i]!.push(await redisTurn({ ...step, members, seconds, seed: round, servers, redis }))
    }
  }
  return steps.map(({ title, connections }, i) => {
    const middle = (of: (turn: RedisTurn) => number, digits: number) =>
      median(found[i]!.map(of)).toFixed(digits)
    const times = [middle((turn) => turn.p50Ms, 1), middle((turn) => turn.p99Ms, 1)]
    const micros = [middle((turn) => turn.serversMicros, 1), middle((turn) => turn.redisMicros, 1)]
    const all = [middle((turn) => turn.perSecond, 0), ...times, ...micros]
    return `| ${title} | ${connections} | ${all.join(' | ')} | ${middle((turn) => turn.clientMicros, 1)} |`
  })
}

/** Changes through one server, watched through the other. */
async function watchOther(): Promise<string> {
  const count = options.number('changes')
  const perSecond = options.number('rate')
  const watch = { path: '/v1/watched/k', keys: watchedKeys, watchers: watchedKeys }
  const watchers = await openWatchers({ port: ports[1], ...watch })
  await makeChanges({
    ...{ port: ports[0], from: 0, count, perSecond },
    pathOf: (number) => `${watch.path}${number % watchedKeys}`,
  })
  const { received, wrong, p50Ms, p99Ms } = await watchers.figures(count)
  await watchers.close()
  if (received !== count || wrong > 0) throw new Error(`${received} of ${count} events came, ${wrong} wrong`)
  return `Of ${perSecond} changes a second the other server's watchers had each after ${p50Ms.toFixed(1)} ms at p50, ${p99Ms.toFixed(1)} ms at p99.`
}

async function run(): Promise<void> {
  removeFolder(dataDir)
  mkdirSync(dataDir, { recursive: true })
  try {
    const redis = await startCluster()
    const engine = `redis://${redisPorts.map((port) => `127.0.0.1:${port}`).join(',')}`
    const frontEnds: Server[] = []
    for (const port of ports) {
      const server = await startFrontEnd(dataDir, port, engine)
      running.push(server)
      frontEnds.push(server)
    }
    const before = usedBytes()
    const startedMs = performance.now()
    await importIntoKvist(ports[0], members)
    const importSeconds = (performance.now() - startedMs) / 1000
    const bytes = Math.round((usedBytes() - before) / members)
    console.log(
      `${members} members in 16 lines: ${bytes} bytes of memory each, imported in ${importSeconds.toFixed(0)} s.\n`,
    )
    console.log(await watchOther())
    console.log('\n| | connections | a second | p50 ms | p99 ms | µs of the servers | of Redis | of wrk |')
    console.log('| --- | --: | --: | --: | --: | --: | --: | --: |')
    console.log((await measure(redis, frontEnds)).join('\n'))
  } finally {
    for (const server of running.toReversed()) await server.stop()
    removeFolder(dataDir)
  }
}

try {
  await run()
} catch (error) {
  await killAll()
  throw error
}
