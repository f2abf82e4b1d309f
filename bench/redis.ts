/**
 * Measures kvist with its members in Redis: GET and PUT through one kvist server, through two, and through webdis, all on
 * one Redis server that syncs every write to disk, in turns, with the processor time of each process. `--help` lists
 * the options.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { importIntoKvist, importIntoRedis } from './bulk.ts'
import { kvistRequests } from './kvist-requests.ts'
import { writtenValue } from './members.ts'
import { chooseOptions, redisOptions } from './options.ts'
import { killAll, removeFolder, type Server, startServer, waitUntilReady } from './process.ts'
import { type RedisTurn, redisTurn, startFrontEnd, startRedisServer } from './redis-turns.ts'
import { median } from './statistics.ts'
import type { RawRequest } from './wrk.ts'

const redisPort = 17_850
const ports = { kvist: [17_851], two: [17_851, 17_852], webdis: [17_853] } as const

type Name = keyof typeof ports
const titles: Readonly<Record<Name, string>> = {
  kvist: 'kvist',
  two: 'two kvist servers, half of the connections each',
  webdis: 'webdis',
}
const names: readonly Name[] = ['kvist', 'two', 'webdis']

interface Load {
  readonly name: string
  readonly kvist: RawRequest
  readonly webdis: RawRequest
}

const loads: readonly Load[] = [
  { name: 'GET', kvist: kvistRequests.get, webdis: { method: 'GET', path: '/GET/{key}.txt' } },
  {
    name: 'PUT',
    kvist: kvistRequests.put,
    webdis: { method: 'PUT', path: '/SET/{key}', body: writtenValue },
  },
]
const allConnections = [64, 256]

const options = chooseOptions(redisOptions)
const dataDir = join(resolve(options.text('data')), 'redis')
const members = options.number('members')

/** Stopped in the end, the last first. */
const running: Server[] = []
const servers = new Map<number, Server>()

async function startWebdis(): Promise<void> {
  const config = join(dataDir, 'webdis.json')
  const [port] = ports.webdis
  writeFileSync(
    config,
    JSON.stringify({
      ...{ redis_host: '127.0.0.1', redis_port: redisPort, http_host: '127.0.0.1', http_port: port },
      ...{ threads: 2, pool_size: 20, daemonize: false, websockets: false, database: 0 },
      ...{ verbosity: 0, logfile: join(dataDir, 'webdis-own.log') },
    }),
  )
  const server = startServer('webdis', ['webdis', config], dataDir)
  running.push(server)
  servers.set(port, server)
  await waitUntilReady(server, `http://127.0.0.1:${port}/PING.txt`, 'PONG')
}

type Found = Map<string, Record<Name, RedisTurn[]>>

async function measure(redis: Server): Promise<Found> {
  const found: Found = new Map()
  for (let round = 1; round <= options.number('rounds'); round++) {
    for (const load of loads) {
      for (const connections of allConnections) {
        const label = `${load.name}, ${connections} connections`
        const figures = found.get(label) ?? { kvist: [], two: [], webdis: [] }
        found.set(label, figures)
        for (const name of round % 2 === 0 ? names.toReversed() : names) {
          const request = name === 'webdis' ? load.webdis : load.kvist
          const processes = { redis: [redis], servers: ports[name].map((port) => servers.get(port)!) }
          const about = { members, connections, seconds: options.number('seconds'), seed: round }
          figures[name].push(await redisTurn({ request, ports: ports[name], ...about, ...processes }))
        }
      }
    }
  }
  return found
}

async function run(): Promise<Found> {
  removeFolder(dataDir)
  mkdirSync(dataDir, { recursive: true })
  try {
    const redis = await startRedisServer(dataDir, redisPort)
    running.push(redis)
    for (const port of ports.two) {
      const server = await startFrontEnd(dataDir, port, `redis://127.0.0.1:${redisPort}`)
      running.push(server)
      servers.set(port, server)
    }
    await startWebdis()
    await importIntoKvist(ports.kvist[0], members)
    await importIntoRedis(redisPort, members)
    return await measure(redis)
  } finally {
    for (const server of running.toReversed()) await server.stop()
    removeFolder(dataDir)
  }
}

function table(found: Found): string {
  const lines = [...found].flatMap(([load, figures]) =>
    names.map((name) => {
      const turns = figures[name]
      const ratios = turns.map(({ perSecond }, i) => perSecond / figures.webdis[i]!.perSecond)
      const middle = (of: (turn: RedisTurn) => number) => median(turns.map(of))
      const micros = [middle((one) => one.serversMicros), middle((one) => one.redisMicros)]
      const all = [...micros, middle((one) => one.clientMicros)].map((one) => one.toFixed(1)).join(' | ')
      const [perSecond, p99] = [Math.round(middle((one) => one.perSecond)), middle((one) => one.p99Ms)]
      const ratio = median(ratios).toFixed(2)
      return `| ${load} | ${titles[name]} | ${perSecond} | ${ratio} | ${p99.toFixed(1)} | ${all} |`
    }),
  )
  const processes = 'µs of the servers | of Redis | of wrk'
  return [
    `| | | a second | to webdis | p99 ms | ${processes} |`,
    '| --- | --- | --: | --: | --: | --: | --: | --: |',
    ...lines,
  ].join('\n')
}

try {
  console.log(table(await run()))
} catch (error) {
  await killAll()
  throw error
}
