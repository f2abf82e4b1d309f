/**
 * Measures kvist with its members in Redis: GET and PUT through one kvist server, through two, and through webdis, all on
 * one Redis server that syncs every write to disk, in turns. `--help` lists the options.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { importIntoKvist, importIntoRedis } from './bulk.ts'
import { writtenValue } from './members.ts'
import { chooseOptions, redisOptions } from './options.ts'
import { killAll, removeFolder, type Server, startServer, waitUntilReady } from './process.ts'
import { median } from './statistics.ts'
import { type RawRequest, runWrk, type WrkFigures } from './wrk.ts'

const kvistProgram = join(import.meta.dir, '../bin/kvist')
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
  {
    name: 'GET',
    kvist: { method: 'GET', path: '/v1/bench/{key}' },
    webdis: { method: 'GET', path: '/GET/{key}.txt' },
  },
  {
    name: 'PUT',
    kvist: {
      method: 'PUT',
      path: '/v1/bench/{key}',
      headers: { 'Content-Type': 'application/json' },
      body: writtenValue,
    },
    webdis: { method: 'PUT', path: '/SET/{key}', body: writtenValue },
  },
]
const allConnections = [64, 256]

const options = chooseOptions(redisOptions)
const dataDir = join(resolve(options.text('data')), 'redis')
const members = options.number('members')

/** Stopped in the end, the last first. */
const running: Server[] = []

async function startRedis(): Promise<void> {
  const common = ['--port', `${redisPort}`, '--bind', '127.0.0.1', '--dir', dataDir]
  const durable = ['--appendonly', 'yes', '--appendfsync', 'always', '--save', '']
  running.push(startServer('redis', ['redis-server', ...common, ...durable], dataDir))
  for (let tries = 0; tries < 100; tries++) {
    const reply = Bun.spawnSync(['redis-cli', '-p', `${redisPort}`, 'ping'], { stderr: 'ignore' })
    if (reply.stdout.toString().trim() === 'PONG') return
    await Bun.sleep(100)
  }
  throw new Error('Redis was not ready in 10 s')
}

async function startKvist(port: number): Promise<void> {
  const flags = ['--port', `${port}`, '--engine', `redis://127.0.0.1:${redisPort}`]
  const server = startServer(`kvist-${port}`, [kvistProgram, 'serve', ...flags], dataDir)
  running.push(server)
  await waitUntilReady(server, `http://127.0.0.1:${port}/readyz`, 'ready')
}

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
  await waitUntilReady(server, `http://127.0.0.1:${port}/PING.txt`, 'PONG')
}

interface Figures {
  readonly perSecond: number
  readonly p99Ms: number
}

/** Puts the load on all servers of a way at once. */
async function turn(name: Name, load: Load, connections: number, seed: number): Promise<Figures> {
  const servers = ports[name]
  const request = name === 'webdis' ? load.webdis : load.kvist
  const common = { request, choose: 'random', members, seconds: options.number('seconds') } as const
  const all: WrkFigures[] = await Promise.all(
    servers.map((port, i) =>
      runWrk({ ...common, port, connections: connections / servers.length, seed: seed * 10 + i }),
    ),
  )
  const errors = all.reduce((sum, one) => sum + one.errors, 0)
  if (errors > 0) throw new Error(`${titles[name]}: ${errors} of ${load.name} went wrong`)
  return {
    perSecond: all.reduce((sum, one) => sum + one.perSecond, 0),
    p99Ms: Math.max(...all.map(({ p99Ms }) => p99Ms)),
  }
}

type Found = Map<string, Record<Name, Figures[]>>

async function measure(): Promise<Found> {
  const found: Found = new Map()
  for (let round = 1; round <= options.number('rounds'); round++) {
    for (const load of loads) {
      for (const connections of allConnections) {
        const label = `${load.name}, ${connections} connections`
        const figures = found.get(label) ?? { kvist: [], two: [], webdis: [] }
        found.set(label, figures)
        for (const name of round % 2 === 0 ? names.toReversed() : names) {
          figures[name].push(await turn(name, load, connections, round))
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
    await startRedis()
    for (const port of ports.two) await startKvist(port)
    await startWebdis()
    await importIntoKvist(ports.kvist[0], members)
    await importIntoRedis(redisPort, members)
    return await measure()
  } finally {
    for (const server of running.toReversed()) await server.stop()
    removeFolder(dataDir)
  }
}

function table(found: Found): string {
  const lines = [...found].flatMap(([load, figures]) =>
    names.map((name) => {
      const ratios = figures[name].map(({ perSecond }, i) => perSecond / figures.webdis[i]!.perSecond)
      const perSecond = Math.round(median(figures[name].map((one) => one.perSecond)))
      const p99 = median(figures[name].map((one) => one.p99Ms)).toFixed(1)
      return `| ${load} | ${titles[name]} | ${perSecond} | ${median(ratios).toFixed(2)} | ${p99} |`
    }),
  )
  return ['| | | a second | to webdis | p99 ms |', '| --- | --- | --: | --: | --: |', ...lines].join('\n')
}

try {
  console.log(table(await run()))
} catch (error) {
  await killAll()
  throw error
}
