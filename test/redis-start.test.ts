import { describe, expect } from 'bun:test'
import { readFileSync } from 'node:fs'
import { realTimers } from '../src/core/timers.ts'
import type { ClusterOptions, ClusterTls } from '../src/engines/redis/cluster.ts'
import { openCluster } from '../src/engines/redis/open-cluster.ts'
import { checkServers, openCheckedCluster, type StartChecks } from '../src/engines/redis/start-checks.ts'
import { certificateFolder } from './support/certificates.ts'
import { needing } from './support/needs.ts'
import { freePorts } from './support/ports.ts'
import { type RedisServer, startRedis } from './support/redis-cluster.ts'

/** How the engine begins with a real server: logins, certificates, and settings that would lose members. */

const { test, beforeAll, afterAll } = needing('redis', 'openssl')

const password = 'sesame'
const certificates = certificateFolder()
const [tlsPort] = freePorts(1)
let redis: RedisServer & { stop(): Promise<void> }
let tls: ClusterTls
let otherCa: string

beforeAll(async () => {
  const authority = await certificates.authority('ca')
  const server = await authority.issue('server')
  const client = await authority.issue('client')
  const text = (path: string) => readFileSync(path, 'utf8')
  tls = { ca: text(authority.ca), client: { cert: text(client.cert), key: text(client.key) } }
  otherCa = text((await certificates.authority('other')).ca)
  const config = { bind: '127.0.0.1 127.0.0.2' }
  redis = await startRedis({ password, config, tls: { ...server, ca: authority.ca, port: tlsPort! } })
  await redis.command('ACL', 'SETUSER', 'kvist', 'on', '>secret', '~*', '&*', '+@all')
})
afterAll(async () => {
  await redis?.stop()
  certificates[Symbol.dispose]()
})

const options: Omit<ClusterOptions, 'servers'> = {
  user: null,
  password,
  tls: null,
  timeoutMs: 1000,
  patienceMs: 500,
  replicas: 0,
  replicasTimeoutMs: 500,
  warn() {},
}

async function open(given: Partial<ClusterOptions>) {
  return openCluster({ ...options, servers: [redis], ...given }, realTimers)
}

/** Opens, writes and closes. */
async function use(given: Partial<ClusterOptions>) {
  const cluster = await open(given)
  try {
    return (await cluster.write(7, ['SET', 'a', 1])).reply
  } finally {
    await cluster.close()
  }
}

describe('a single server', () => {
  test('lets in those who have its password, and a client certificate where it asks for one', async () => {
    const secure = { servers: [{ host: 'localhost', port: tlsPort! }], tls }
    expect(await use({})).toBe('OK')
    expect(await use({ user: 'kvist', password: 'secret' })).toBe('OK')
    expect(await use(secure)).toBe('OK')
    expect(await use({ ...secure, servers: [{ host: '127.0.0.1', port: tlsPort! }] })).toBe('OK')
  })

  test.each([
    ['without a password', () => ({ password: null }), 'asks for a password'],
    ['with a wrong one', () => ({ password: 'x' }), 'does not accept this user and password'],
    ['as an unknown user', () => ({ user: 'eve' }), 'does not accept this user and password'],
    ['by an unknown authority', () => secureBy({ ca: otherCa }), 'TLS: '],
    ['under a name that is not in the certificate', () => secureBy({}, '127.0.0.2'), 'TLS: '],
    ['without TLS on a TLS port', () => ({ servers: [{ host: 'localhost', port: tlsPort! }] }), 'closed'],
    ['without the certificate that it asks for', () => secureBy({ client: null }), ''],
    ['where nothing listens', () => ({ servers: [{ host: '127.0.0.1', port: 1 }] }), 'cannot connect'],
  ] as const)('%s kvist does not start', async (_name, given, why) => {
    const error = await use(given() as Partial<ClusterOptions>).catch((reason) => reason)
    expect(error).toBeInstanceOf(Error)
    expect(error.message).toContain(why)
    expect(error.message).not.toContain('\n')
  })

  function secureBy(own: Partial<ClusterTls>, host = 'localhost') {
    return { servers: [{ host, port: tlsPort! }], tls: { ...tls, ...own } }
  }

  const durable: StartChecks = { isDurable: true, replicas: 0 }
  const relaxed: StartChecks = { isDurable: false, replicas: 0 }

  async function findings(checks: StartChecks, ...settings: (readonly [string, string])[]) {
    const before = await Promise.all(settings.map(([name]) => redis.command('CONFIG', 'GET', name)))
    for (const [name, value] of settings) await redis.command('CONFIG', 'SET', name, value)
    const cluster = await open({})
    try {
      const all = await checkServers(cluster, checks)
      return all.map(({ level, text }) => `${level}: ${text.replace(`127.0.0.1:${redis.port}: `, '')}`)
    } finally {
      await cluster.close()
      for (const [i, [name]] of settings.entries()) {
        await redis.command('CONFIG', 'SET', name, String((before[i] as Buffer[])[1]))
      }
    }
  }

  test('with the settings that it should have, nothing is found', async () => {
    expect(await findings(durable)).toEqual([])
    expect(await findings(relaxed)).toEqual([])
  })

  test.each([
    ['maxmemory-policy', 'allkeys-lru', durable, /^error: maxmemory-policy is allkeys-lru/],
    ['maxmemory-policy', 'volatile-ttl', relaxed, /^error: maxmemory-policy is volatile-ttl/],
    ['appendonly', 'no', durable, /^error: .*set appendonly yes, or start kvist with --durability relaxed/],
    ['appendfsync', 'everysec', durable, /^error: appendfsync is everysec/],
    ['appendfsync', 'no', durable, /^error: appendfsync is no/],
  ] as const)(
    '%s %s is refused where it would lose what was acknowledged',
    async (name, value, checks, expected) => {
      const found = await findings(checks, [name, value])
      expect(found).toHaveLength(1)
      expect(found[0]).toMatch(expected)
    },
  )

  test('on relaxed durability the log on disk is the operator’s choice', async () => {
    expect(await findings(relaxed, ['appendonly', 'no'])).toEqual([])
    expect(await findings(relaxed, ['appendfsync', 'everysec'])).toEqual([])
  })

  test('fewer replicas than writes wait for are warned of', async () => {
    expect((await findings({ ...durable, replicas: 1 }))[0]).toMatch(
      /^warning: has 0 replicas, and every write waits for 1/,
    )
  })

  test('settings that cannot be read are warned of', async () => {
    await redis.command('ACL', 'SETUSER', 'limited', 'on', '>secret', '~*', '&*', '+@all', '-config')
    const cluster = await open({ user: 'limited', password: 'secret' })
    const all = await checkServers(cluster, durable)
    await cluster.close()
    expect(all.map(({ level }) => level)).toEqual(['warning'])
    expect(all[0]!.text).toContain('CONFIG GET is forbidden')
  })

  test('an error in the settings ends the start with one line', async () => {
    const all = {
      ...options,
      servers: [redis],
      prefix: 'x',
      lines: 1,
      placement: 'spread',
      ...durable,
    } as const
    await redis.command('CONFIG', 'SET', 'maxmemory-policy', 'allkeys-lru')
    const opening = openCheckedCluster(all, () => {}, realTimers)
    await expect(opening).rejects.toThrow(
      /^redis: 127\.0\.0\.1:\d+: maxmemory-policy is allkeys-lru: .*set noeviction$/,
    )
    await redis.command('CONFIG', 'SET', 'maxmemory-policy', 'noeviction')
    await (await openCheckedCluster(all, () => {}, realTimers)).close()
  })

  test('it works under a user who may do no more than is needed', async () => {
    const commands = ['hello', 'ping', 'info', 'role', 'cluster|slots', 'cluster|nodes', 'set']
    await redis.command(
      'ACL',
      'SETUSER',
      'least',
      'on',
      '>secret',
      '~*',
      '&*',
      '-@all',
      ...commands.map((one) => `+${one}`),
    )
    expect(await use({ user: 'least', password: 'secret' })).toBe('OK')
  })
})
