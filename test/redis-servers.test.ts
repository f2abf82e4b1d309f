import { describe, expect } from 'bun:test'
import { Kvist } from '../sdk/client.ts'
import { openWatch, type SentChange, type Watch } from './support/events.ts'
import { type ServerInProcess, serveInProcess } from './support/in-process-server.ts'
import { needing } from './support/needs.ts'
import { run } from './support/program.ts'
import { type RedisServer, startRedis } from './support/redis-cluster.ts'
import { jsonOf } from './support/responses.ts'

/** Several kvist servers with the same members in Redis. */

const { test, beforeAll, afterAll } = needing('redis')

let redis: RedisServer & { stop(): Promise<void> }
let servers: ServerInProcess[]
const watches: Watch[] = []

beforeAll(async () => {
  redis = await startRedis()
  const engine = ['--engine', `redis://127.0.0.1:${redis.port}`]
  servers = [await serveInProcess({ store: engine }), await serveInProcess({ store: engine })]
})
afterAll(async () => {
  for (const watch of watches) watch.close()
  for (const server of servers ?? []) await server.stop()
  await redis?.stop()
})

const at = (server: number, path: string) => `${servers[server]!.url}/v1/${path}`
const put = (url: string, value: unknown) => fetch(url, { method: 'PUT', body: JSON.stringify(value) })

async function watch(url: string): Promise<Watch> {
  const opened = await openWatch(url)
  watches.push(opened)
  return opened
}

const changesOf = ({ events }: Watch) => events.map(({ data }) => JSON.parse(data) as SentChange)

describe('two servers on one Redis server', () => {
  test('what one has written, the other has as soon as that has responded', async () => {
    for (let i = 0; i < 50; i++) {
      const { revision } = await jsonOf<{ revision: number }>(put(at(i % 2, `things/k${i % 5}`), i))
      const found = await fetch(at((i + 1) % 2, `things/k${i % 5}`))
      expect([found.headers.get('etag'), await found.json()]).toEqual([`"${revision}"`, i])
    }
  })

  test('watchers of both get every change, in the order of each member, whichever wrote it', async () => {
    const both = await Promise.all([0, 1].map((server) => watch(at(server, 'watched'))))
    for (let i = 0; i < 40; i++) await put(at(i % 2, `watched/k${i % 4}`), i)
    for (const one of both) {
      await one.until(40)
      for (let key = 0; key < 4; key++) {
        const values = changesOf(one).flatMap((change) => (change.key === `k${key}` ? [change.value] : []))
        expect(values).toEqual(Array.from({ length: 10 }, (_, n) => 4 * n + key))
      }
    }
  })

  test('a watcher resumes at the other server with nothing lost and nothing doubled', async () => {
    const first = await watch(at(0, 'resumed'))
    await put(at(0, 'resumed/a'), 1)
    await put(at(1, 'resumed/b'), 2)
    await first.until(2)
    first.close()
    await put(at(0, 'resumed/c'), 3)
    await fetch(at(1, 'resumed/a'), { method: 'DELETE' })
    const second = await openWatch(at(1, 'resumed'), { 'last-event-id': first.lastId() })
    watches.push(second)
    await second.until(2)
    expect(
      changesOf(second)
        .map(({ type, key }) => `${type} ${key}`)
        .sort(),
    ).toEqual(['delete a', 'put c'])
  })

  test('a ticket that one has made is good at the other, for its path, once', async () => {
    const headers = { authorization: 'Bearer secret' }
    const closed = await Promise.all(
      [0, 1].map(() =>
        serveInProcess({
          store: ['--engine', `redis://127.0.0.1:${redis.port}`, '--redis-prefix', 'tickets'],
          env: { KVIST_TOKEN: 'secret' },
        }),
      ),
    )
    const [one, other] = closed.map(({ url }) => `${url}/v1`)
    const ticketFor = async (path: string, by = headers) => {
      const made = fetch(`${one}/_tickets`, { method: 'POST', headers: by, body: JSON.stringify({ path }) })
      return (await jsonOf<{ ticket: string }>(made)).ticket
    }
    const status = async (url: string) => (await fetch(url)).status
    try {
      await fetch(`${one}/c/k`, { method: 'PUT', headers, body: '1' })
      const ticket = await ticketFor('/v1/c/k')
      expect(await status(`${other}/c?ticket=${ticket}`)).toBe(401)
      expect(await (await fetch(`${other}/c/k?ticket=${ticket}`)).text()).toBe('1')
      for (const url of [one, other]) expect(await status(`${url}/c/k?ticket=${ticket}`)).toBe(401)
      // Of many at once one gets it.
      const contested = await ticketFor('/v1/c')
      const tries = Array.from({ length: 20 }, (_, i) =>
        status(`${i % 2 ? one : other}/c?ticket=${contested}`),
      )
      expect((await Promise.all(tries)).filter((found) => found === 200)).toHaveLength(1)
      // A watch too; and none of a token that was revoked.
      const stream = await openWatch(`${other}/c?ticket=${await ticketFor('/v1/c')}`)
      stream.close()
      const grants = [{ collections: 'c', can: ['read'] }]
      const body = JSON.stringify({ name: 'reader', grants })
      const { id, token } = await jsonOf<{ id: string; token: string }>(
        fetch(`${one}/_tokens`, { method: 'POST', headers, body }),
      )
      const by = { authorization: `Bearer ${token}` }
      const [used, left] = [await ticketFor('/v1/c/k', by), await ticketFor('/v1/c/k', by)]
      expect(await status(`${other}/c/k?ticket=${used}`)).toBe(200)
      expect((await fetch(`${one}/_tokens/${id}`, { method: 'DELETE', headers })).status).toBe(204)
      expect(await status(`${other}/c/k?ticket=${left}`)).toBe(401)
      expect(await jsonOf<object>(fetch(`${one}`, { headers }))).not.toMatchObject({
        collections: [{ name: '_tickets' }],
      })
    } finally {
      for (const server of closed) await server.stop()
    }
  })

  test('of those who create a member at both at once, one does', async () => {
    for (let round = 0; round < 20; round++) {
      const create = (server: number) =>
        fetch(at(server, `races/r${round}`), { method: 'PUT', body: '1', headers: { 'if-none-match': '*' } })
      const statuses = (await Promise.all([create(0), create(1), create(0), create(1)])).map(
        ({ status }) => status,
      )
      expect(statuses.sort()).toEqual([201, 412, 412, 412])
    }
  })

  test('counters that both increment lose nothing', async () => {
    const increment = (server: number) =>
      fetch(at(server, 'counters/n'), {
        method: 'PATCH',
        body: '{}',
        headers: { 'content-type': 'application/vnd.kvist.increment+json' },
      })
    const all = await Promise.all(Array.from({ length: 60 }, (_, i) => increment(i % 2)))
    expect(all.filter(({ ok }) => ok).length).toBeGreaterThan(0)
    const sum = await jsonOf<number>(fetch(at(0, 'counters/n')))
    expect(sum).toBe(all.filter(({ ok }) => ok).length)
  })

  test('what has expired is gone at both, and is reported once', async () => {
    const both = await Promise.all([0, 1].map((server) => watch(at(server, 'brief'))))
    await put(at(0, 'brief/a?expire_in=0.2'), 1)
    for (const one of both) {
      await one.until(2)
      expect(changesOf(one).map(({ type }) => type)).toEqual(['put', 'expire'])
    }
    expect((await fetch(at(1, 'brief/a'))).status).toBe(404)
  })

  test('settings that one sets, the other keeps to', async () => {
    const set = await put(at(0, '_collections/limited'), { max_members: 1 })
    expect(set.status).toBeLessThan(300)
    expect((await put(at(1, 'limited/a'), 1)).status).toBe(201)
    expect((await put(at(1, 'limited/b'), 1)).status).toBe(422)
  })

  test('each says where the store is', async () => {
    const status = await new Kvist(servers[1]!.url).engine()
    expect(status.engine).toBe('redis')
    expect(status.primaries).toEqual([
      {
        address: `127.0.0.1:${redis.port}`,
        version: expect.stringMatching(/^\d+\.\d+\.\d+$/),
        slots: 16_384,
        memory_bytes: expect.any(Number),
        max_memory_bytes: null,
        replicas: [],
      },
    ])
    expect(status.lines.map(({ line, gaps }) => [line, gaps])).toEqual([0, 1, 2, 3].map((line) => [line, 0]))
    const collections = await Array.fromAsync(new Kvist(servers[0]!.url).collections())
    const members = status.lines.reduce((sum, line) => sum + line.members!, 0)
    expect(members).toBeGreaterThanOrEqual(collections.reduce((sum, one) => sum + (one.members ?? 0), 0))
    for (const { revision, reported, memory_bytes: bytes, primary } of status.lines) {
      expect(reported).toBe(revision!)
      expect(bytes).toBeGreaterThan(0)
      expect(primary).toBe(`127.0.0.1:${redis.port}`)
    }
  })

  test('each counts what happened between it and Redis', async () => {
    const metrics = await (await fetch(`${servers[0]!.url}/metrics`)).text()
    const events = [...metrics.matchAll(/^kvist_redis_events_total\{event="(\w+)"\} (\d+)$/gm)]
    expect(Object.fromEntries(events.map(([, event, count]) => [event, Number(count)]))).toEqual({
      connections: expect.any(Number),
      timeouts: 0,
      redirects: 0,
      retries: expect.any(Number),
      topology_changes: 1,
      setbacks: 0,
    })
  })

  test('the command line shows the servers and the lines', async () => {
    const { stdout, exitCode } = await run(['engine', 'status'], { env: { KVIST_URL: servers[0]!.url } })
    expect(exitCode).toBe(0)
    // Headings are for terminals.
    const [engine, server, ...lines] = stdout.toString().trimEnd().split('\n')
    expect(engine).toBe('redis')
    expect(server).toStartWith(`127.0.0.1:${redis.port}\tprimary\t`)
    expect(lines.map((line) => line.split('\t')[0])).toEqual(['0', '1', '2', '3'])
    expect(lines.every((line) => line.endsWith('\t0\tyes'))).toBe(true)
  })

  test('a server that comes later serves what is there', async () => {
    const engine = ['--engine', `redis://127.0.0.1:${redis.port}`, '--redis-lines', '4']
    const third = await serveInProcess({ store: engine })
    servers.push(third)
    expect(await jsonOf<number>(fetch(`${third.url}/v1/things/k0`))).toBe(45)
  })

  test('a server that is started with another number of lines refuses, and says with which', async () => {
    const engine = ['--engine', `redis://127.0.0.1:${redis.port}`, '--redis-lines', '8']
    await expect(serveInProcess({ store: engine })).rejects.toThrow(/created with --redis-lines 4, not 8/)
  })
})
