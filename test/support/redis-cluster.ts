import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { realTimers } from '../../src/core/timers.ts'
import { RedisConnection } from '../../src/engines/redis/connection.ts'
import { ErrorReply, type RedisCommand, type Reply } from '../../src/engines/redis/resp.ts'
import type { ServerAddress } from '../../src/engines/redis/servers.ts'
import { slotCount } from '../../src/engines/redis/slots.ts'
import type { CertificateFiles } from './certificates.ts'
import { freePorts } from './ports.ts'

/** Real servers for tests: a single one, or a cluster of three primaries with a replica each. */

export interface RedisServer extends ServerAddress {
  readonly pid: number
  /** Sends one command over a connection of its own, and throws what the server refuses. */
  command(...command: RedisCommand): Promise<Reply>
  /** Kills it with SIGKILL and waits for its end. */
  kill(): Promise<void>
  /** Starts it again with the data that it left. */
  start(): Promise<void>
  /** Stops it with SIGSTOP: it keeps its connections, and does nothing. */
  freeze(): void
  thaw(): void
}

export interface RedisCluster {
  /** Three primaries, then the replica of each. */
  readonly servers: readonly RedisServer[]
  /** Moves slots with their keys to the server that has this id. */
  moveSlots(slots: readonly number[], from: RedisServer, to: RedisServer): Promise<void>
  /** Waits until all slots are served and every replica follows its primary. */
  settle(): Promise<void>
  stop(): Promise<void>
}

export interface RedisOptions {
  readonly password?: string
  /** Served beside the port without TLS, which the tests' own commands use. */
  readonly tls?: CertificateFiles & { readonly ca: string; readonly port: number }
  /** Further settings, by their names. */
  readonly config?: Readonly<Record<string, string>>
}

/** A server whose settings are those that kvist asks for. */
const settings: Readonly<Record<string, string>> = {
  bind: '127.0.0.1',
  save: '',
  appendonly: 'yes',
  appendfsync: 'always',
  'repl-diskless-sync-delay': '0',
  'enable-debug-command': 'yes',
}

const startTimeoutMs = 30_000
const pollMs = 20

/** Servers that run, so that none outlives the tests. */
const running = new Set<number>()
process.on('exit', () => {
  for (const pid of running) process.kill(pid, 'SIGKILL')
})

/** Starts one server without cluster. */
export async function startRedis(
  options: RedisOptions = {},
): Promise<RedisServer & { stop(): Promise<void> }> {
  const folder = mkdtempSync(join(tmpdir(), 'kvist-redis-'))
  const server = redisServer(folder, freePorts(1)[0]!, options)
  await server.start()
  return Object.assign(server, {
    async stop() {
      await server.kill()
      rmSync(folder, { recursive: true, force: true })
    },
  })
}

/** Starts a cluster of six; its node timeout is 2 s. */
export async function startRedisCluster(options: RedisOptions = {}): Promise<RedisCluster> {
  const folder = mkdtempSync(join(tmpdir(), 'kvist-redis-cluster-'))
  const ports = freePorts(12)
  const nodes = Array.from(
    { length: 6 },
    (_, index): Node => ({
      id: `${index}`.repeat(40),
      port: ports[index]!,
      busPort: ports[index + 6]!,
      primary: index < 3 ? null : index - 3,
    }),
  )
  const servers = nodes.map((node, index) => {
    const own = join(folder, `${index}`)
    mkdirSync(own)
    writeFileSync(join(own, 'nodes.conf'), nodesFile(nodes, index))
    return redisServer(own, node.port, {
      ...options,
      config: {
        'cluster-enabled': 'yes',
        'cluster-port': `${node.busPort}`,
        'cluster-node-timeout': '2000',
        ...(options.password === undefined ? {} : { masterauth: options.password }),
        ...options.config,
      },
    })
  })
  const cluster: RedisCluster = {
    servers,
    moveSlots: (slots, from, to) => moveSlots(servers, slots, from, to),
    settle: () => settle(servers),
    async stop() {
      await Promise.all(servers.map((server) => server.kill()))
      rmSync(folder, { recursive: true, force: true })
    },
  }
  try {
    await Promise.all(servers.map((server) => server.start()))
    await cluster.settle()
  } catch (error) {
    await cluster.stop()
    throw error
  }
  return cluster
}

interface Node {
  readonly id: string
  /** 127.0.0.1 when left out. */
  readonly host?: string
  readonly port: number
  readonly busPort: number
  /** The index of the primary that it is a replica of. */
  readonly primary: number | null
}

/** The state that a server of a cluster keeps: with it they need no introduction to each other. */
export function nodesFile(nodes: readonly Node[], own: number): string {
  const lines = nodes.map(({ id, host = '127.0.0.1', port, busPort, primary }, index) => {
    const role = primary === null ? 'master -' : `slave ${nodes[primary]!.id}`
    const flags = index === own ? `myself,${role}` : role
    const from = Math.floor((index * slotCount) / 3)
    const to = Math.floor(((index + 1) * slotCount) / 3) - 1
    const slots = primary === null ? ` ${from}-${to}` : ''
    return `${id} ${host}:${port}@${busPort} ${flags} 0 0 ${(primary ?? index) + 1} connected${slots}\n`
  })
  return `${lines.join('')}vars currentEpoch 3 lastVoteEpoch 0\n`
}

function redisServer(folder: string, port: number, { password, tls, config }: RedisOptions): RedisServer {
  const all = {
    ...settings,
    ...(password === undefined ? {} : { requirepass: password }),
    ...(tls === undefined ? {} : tlsSettings(tls)),
    ...config,
  }
  let child: Bun.Subprocess<'ignore', Bun.BunFile, Bun.BunFile> | null = null
  const logPath = join(folder, 'log')
  const server: RedisServer = {
    host: '127.0.0.1',
    port,
    get pid() {
      return child?.pid ?? 0
    },
    command: (...command) => commandOnce({ host: '127.0.0.1', port }, password ?? null, command),
    async start() {
      const flags = Object.entries(all).flatMap(([name, value]) => [`--${name}`, value])
      // The kernel ends it with its parent, however that ends.
      child = Bun.spawn(
        ['setpriv', '--pdeathsig', 'KILL', 'redis-server', '--dir', folder, '--port', `${port}`, ...flags],
        { stdin: 'ignore', stdout: Bun.file(logPath), stderr: Bun.file(logPath) },
      )
      running.add(child.pid)
      await until(`redis-server on port ${port}`, async () => {
        if (child?.exitCode !== null) {
          throw new Error(`redis-server ended with ${child?.exitCode}: ${await Bun.file(logPath).text()}`)
        }
        return String(await server.command('PING')) === 'PONG'
      })
    },
    async kill() {
      if (child === null) return
      child.kill('SIGKILL')
      await child.exited
      running.delete(child.pid)
      child = null
    },
    freeze() {
      child?.kill('SIGSTOP')
    },
    thaw() {
      child?.kill('SIGCONT')
    },
  }
  return server
}

function tlsSettings({ cert, key, ca, port }: NonNullable<RedisOptions['tls']>) {
  return {
    'tls-port': `${port}`,
    'tls-cert-file': cert,
    'tls-key-file': key,
    'tls-ca-cert-file': ca,
    'tls-auth-clients': 'yes',
  }
}

function commandOnce(address: ServerAddress, password: string | null, command: RedisCommand): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const connection = new RedisConnection({
      address,
      user: null,
      password,
      tls: null,
      timeoutMs: 10_000,
      timers: realTimers,
      onClosed() {},
    })
    connection.send({
      command,
      replied(reply) {
        if (reply instanceof ErrorReply) reject(new Error(`${command.join(' ')}: ${reply.text}`))
        else resolve(reply)
        connection.cut('done')
      },
      lost: (_isSent, why) => reject(new Error(why)),
    })
  })
}

async function moveSlots(
  servers: readonly RedisServer[],
  slots: readonly number[],
  from: RedisServer,
  to: RedisServer,
): Promise<void> {
  const [fromId, toId] = await Promise.all(
    [from, to].map(async (one) => String(await one.command('CLUSTER', 'MYID'))),
  )
  for (const slot of slots) {
    await to.command('CLUSTER', 'SETSLOT', slot, 'IMPORTING', fromId!)
    await from.command('CLUSTER', 'SETSLOT', slot, 'MIGRATING', toId!)
    for (;;) {
      const keys = await from.command('CLUSTER', 'GETKEYSINSLOT', slot, 100)
      if (!Array.isArray(keys) || keys.length === 0) break
      // One after the other, so that some are here and some there for a while.
      for (const key of keys) await from.command('MIGRATE', to.host, to.port, key as Buffer, 0, 5000)
    }
    for (const one of [to, from, ...servers.filter((server) => server !== to && server !== from)]) {
      // Replicas learn of it from their primary.
      await one.command('CLUSTER', 'SETSLOT', slot, 'NODE', toId!).catch(() => null)
    }
  }
}

async function settle(servers: readonly RedisServer[]): Promise<void> {
  await until('the cluster to settle', async () => {
    const states = await Promise.all(
      servers.map(async (server) => {
        const info = String(await server.command('CLUSTER', 'INFO'))
        const replication = String(await server.command('INFO', 'replication'))
        // One that was a primary before it was frozen calls itself one until it hears of the other.
        const isReplicated = replication.includes('role:master')
          ? replication.includes('state=online')
          : replication.includes('master_link_status:up')
        const isWhole = info.includes('cluster_state:ok') && info.includes('cluster_known_nodes:6')
        const hasFailed = String(await server.command('CLUSTER', 'NODES')).includes('fail')
        return isWhole && isReplicated && !hasFailed
      }),
    )
    return states.every(Boolean)
  })
}

/** Waits for a condition; an error counts as not yet, until the time is over. */
async function until(what: string, isTrue: () => Promise<boolean>): Promise<void> {
  const endAtMs = performance.now() + startTimeoutMs
  for (;;) {
    let last: unknown = null
    try {
      if (await isTrue()) return
    } catch (error) {
      last = error
    }
    if (performance.now() > endAtMs) throw new Error(`waited in vain for ${what}`, { cause: last })
    await Bun.sleep(pollMs)
  }
}
