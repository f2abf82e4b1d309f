import { join } from 'node:path'
import { processorSeconds, type Server, startServer, waitUntilReady } from './process.ts'
import { type RawRequest, runWrk } from './wrk.ts'

/** What the benches of the Redis engine share: servers of Redis, front ends, and turns of load on them. */

const kvistProgram = join(import.meta.dir, '../bin/kvist')
const startTries = 100
const startPauseMs = 100

/** Starts a Redis server that syncs every write to disk. */
export async function startRedisServer(
  dataDir: string,
  port: number,
  flags: readonly string[] = [],
): Promise<Server> {
  const common = ['--port', `${port}`, '--bind', '127.0.0.1', '--dir', dataDir]
  const files = ['--appendfilename', `${port}.aof`, '--dbfilename', `${port}.rdb`]
  const durable = ['--appendonly', 'yes', '--appendfsync', 'always', '--save', '']
  const server = startServer(
    `redis-${port}`,
    ['redis-server', ...common, ...files, ...durable, ...flags],
    dataDir,
  )
  for (let tries = 0; tries < startTries; tries++) {
    if (redisCli(port, 'ping').trim() === 'PONG') return server
    await Bun.sleep(startPauseMs)
  }
  throw new Error(`Redis was not ready in 10 s: ${server.log()}`)
}

export function redisCli(port: number, ...command: readonly string[]): string {
  return Bun.spawnSync(['redis-cli', '-p', `${port}`, ...command], { stderr: 'ignore' }).stdout.toString()
}

/** Starts a kvist server whose members are in Redis. */
export async function startFrontEnd(dataDir: string, port: number, engine: string): Promise<Server> {
  const command = [kvistProgram, 'serve', '--port', `${port}`, '--engine', engine]
  const server = startServer(`kvist-${port}`, command, dataDir)
  await waitUntilReady(server, `http://127.0.0.1:${port}/readyz`, 'ready')
  return server
}

export interface RedisLoad {
  readonly request: RawRequest
  readonly members: number
  /** In all; each server gets as many. */
  readonly connections: number
  readonly seconds: number
  readonly seed: number
  readonly ports: readonly number[]
  /** The processes whose processor time is measured. */
  readonly servers: readonly Server[]
  readonly redis: readonly Server[]
}

/** With the processor time of each kind of process for a request. */
export interface RedisTurn {
  readonly perSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly serversMicros: number
  readonly redisMicros: number
  readonly clientMicros: number
}

/** Puts the load on all servers at once, each with a wrk of its own. */
export async function redisTurn(load: RedisLoad): Promise<RedisTurn> {
  const { request, members, connections, seconds, ports, servers, redis } = load
  const secondsOf = (all: readonly Server[]) => all.reduce((sum, { pid }) => sum + processorSeconds(pid), 0)
  const [serversBefore, redisBefore] = [secondsOf(servers), secondsOf(redis)]
  const common = { request, choose: 'random', members, seconds } as const
  const all = await Promise.all(
    ports.map((port, i) =>
      runWrk({ ...common, port, connections: connections / ports.length, seed: load.seed * 10 + i }),
    ),
  )
  const errors = all.reduce((sum, one) => sum + one.errors, 0)
  if (errors > 0) throw new Error(`${errors} of ${request.method} ${request.path} went wrong`)
  const perSecond = all.reduce((sum, one) => sum + one.perSecond, 0)
  const microsPerRequest = (spent: number) => (spent * 1e6) / (perSecond * seconds)
  return {
    perSecond,
    p50Ms: Math.max(...all.map(({ p50Ms }) => p50Ms)),
    p99Ms: Math.max(...all.map(({ p99Ms }) => p99Ms)),
    serversMicros: microsPerRequest(secondsOf(servers) - serversBefore),
    redisMicros: microsPerRequest(secondsOf(redis) - redisBefore),
    clientMicros: microsPerRequest(all.reduce((sum, one) => sum + one.processorSeconds, 0)),
  }
}
