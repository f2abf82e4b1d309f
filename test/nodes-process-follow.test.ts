import { afterEach, expect, test } from 'bun:test'
import { rmSync } from 'node:fs'
import { Kvist, type LeaderStatus } from '../sdk/client.ts'
import { until } from './support/engine.ts'
import { textClient } from './support/memcached/text-client.ts'
import { freePorts } from './support/ports.ts'
import { random, seedOfRun } from './support/random.ts'
import { kvistProgram, newFolder, startServer, type TestServer } from './support/server.ts'
import { runToEnd } from './support/spawn.ts'

/** Leaders and followers, as processes: what a follower serves, promotion, and the former leader when it is back. */

const folders: string[] = []
const running: TestServer[] = []
afterEach(async () => {
  for (const server of running.splice(0)) await server.remove()
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true })
})

function folder(): string {
  const made = newFolder()
  folders.push(made)
  return made
}

async function start(
  dataFolder: string,
  flags: readonly string[] = [],
  env: Record<string, string> = {},
): Promise<TestServer> {
  const server = await startServer({ dataFolder, flags, env })
  running.push(server)
  return server
}

const put = (url: string, body: string, init: RequestInit = {}) =>
  fetch(url, { method: 'PUT', body, redirect: 'manual', ...init })

async function codeOf(response: Response): Promise<string> {
  return ((await response.json()) as { code: string }).code
}

async function leaderOf({ url }: TestServer): Promise<LeaderStatus | null> {
  const { leader } = await new Kvist(url).nodes.status()
  return leader as LeaderStatus | null
}

async function current(follower: TestServer): Promise<void> {
  await until(async () => (await leaderOf(follower))?.state === 'current', 'the follower has everything')
}

async function stateOf({ url }: TestServer): Promise<unknown> {
  const members: unknown[] = []
  for await (const one of new Kvist(url).collection('c').list({ include: 'all' })) {
    const { key, value, origin, expires_at: expires } = one
    members.push([key, value, origin, expires])
  }
  return members
}

async function same(...servers: readonly TestServer[]): Promise<void> {
  await until(async () => {
    const all = await Promise.all(servers.map(stateOf))
    return all.every((one) => Bun.deepEquals(one, all[0]))
  }, 'all have the same members')
}

test('a follower has everything of its leader, settings and tokens too, and is ready once it has', async () => {
  const env = { KVIST_TOKEN: 'root' }
  const leader = await start(folder(), [], env)
  const root = new Kvist(leader.url, { token: 'root' })
  const grants = [{ collections: 'c', can: ['read', 'write'] }] as const
  const { token } = await root.tokens.create({ name: 'app', grants })
  await root.collection('c').put('k', { a: 1 }, { expireIn: '1h' })
  await root.collection('c').setSettings({ max_members: 5 })
  const files = folder()
  await Bun.write(`${files}/token`, 'root')
  const flags = ['--follow', leader.url, '--mirror-token-file', `${files}/token`]
  const follower = await start(folder(), flags, env)
  await until(async () => (await fetch(`${follower.url}/readyz`)).ok, 'it is ready')
  const app = new Kvist(follower.url, { token })
  expect((await app.collection('c').get('k'))?.value).toEqual({ a: 1 })
  expect((await new Kvist(follower.url, { token: 'root' }).collection('c').settings()).max_members).toBe(5)
  // The client takes a write to the leader, with its token.
  await app.collection('c').put('l', 2)
  await until(async () => (await app.collection('c').get('l')) !== null, 'it is there')
  await root.tokens.revoke((await root.tokens.list())[0]!.id)
  await until(
    async () =>
      app.whoami().then(
        () => false,
        () => true,
      ),
    'the token is revoked there',
  )
})

test('a follower that has not had everything is not ready, and is not promoted', async () => {
  const follower = await start(folder(), ['--follow', 'http://127.0.0.1:9'])
  expect((await fetch(`${follower.url}/readyz`)).status).toBe(503)
  expect((await fetch(`${follower.url}/healthz`)).status).toBe(200)
  const { nodes } = new Kvist(follower.url)
  await expect(nodes.promote()).rejects.toThrow('not had everything')
  expect(await nodes.promote({ force: true })).toMatchObject({
    term: 1,
    former_leader: { is_demoted: false },
  })
  expect((await fetch(`${follower.url}/readyz`)).status).toBe(200)
})

test('every write goes to the leader by 307, reads are served here', async () => {
  const leader = await start(folder())
  const follower = await start(folder(), ['--follow', leader.url, '--memcached-port', '0'])
  await put(`${leader.url}/v1/cache/k`, '1')
  await until(async () => (await fetch(`${follower.url}/v1/cache/k`)).ok, 'it is there')
  const lines = { 'Content-Type': 'application/x-ndjson' }
  const writes: readonly (readonly [method: string, path: string, init?: RequestInit])[] = [
    ['PUT', '/v1/c/a%2Fb?expire_in=5m', { body: '1' }],
    ['PUT', '/v1/c/k', { body: '1', headers: { 'If-None-Match': '*' } }],
    ['PATCH', '/v1/c/k', { body: '{}', headers: { 'Content-Type': 'application/merge-patch+json' } }],
    ['DELETE', '/v1/c/k'],
    ['DELETE', '/v1/c?prefix=a'],
    ['POST', '/v1/c', { body: '1' }],
    ['POST', '/v1/c', { body: '{"key":"k","value":1}\n', headers: lines }],
    ['POST', '/v1/_batch', { body: '{"operations":[{"op":"delete","collection":"c","key":"k"}]}' }],
    ['PUT', '/v1/_collections/c', { body: '{}' }],
    ['DELETE', '/v1/_collections/c'],
    ['POST', '/v1/_tokens', { body: '{"name":"n","grants":[{"collections":"*","can":["read"]}]}' }],
    ['DELETE', '/v1/_tokens/abc'],
    ['PUT', '/dialects/ozza/users', { body: '{"id":"1"}' }],
    ['PUT', '/dialects/keys/keys', { body: '{"k":1}' }],
    ['PUT', '/dialects/reforg/api/v1/keys?key=k&value=v'],
    ['POST', '/dialects/minstore/text/a1', { body: 'value=x' }],
    ['POST', '/dialects/tenantbase/set-value', { body: '{"key":"k","value":"v"}' }],
  ]
  for (const [method, path, init] of writes) {
    const response = await fetch(follower.url + path, { method, redirect: 'manual', ...init })
    const { headers } = response
    expect([method, path, response.status]).toEqual([method, path, 307])
    expect(headers.get('location')).toBe(leader.url + path)
    expect(headers.get('kvist-leader')).toBe(leader.url)
  }
  // A client that follows sends the body again.
  expect((await put(`${follower.url}/v1/c/by-fetch`, '"x"', { redirect: 'follow' })).status).toBe(201)
  const large = JSON.stringify('x'.repeat(5_000_000))
  expect((await put(`${follower.url}/v1/c/large`, large, { redirect: 'follow' })).status).toBe(201)
  await new Kvist(follower.url).collection('c').put('larger', 'y'.repeat(9_000_000))
  expect((await fetch(`${leader.url}/v1/c/larger`, { method: 'HEAD' })).headers.get('content-length')).toBe(
    '9000002',
  )
  const read = { method: 'POST', body: '{"members":[{"collection":"cache","key":"k"}]}' }
  expect((await fetch(`${follower.url}/v1/_read`, read)).status).toBe(200)
  const port = Number(/"memcached":"127.0.0.1:([0-9]+)"/.exec(follower.output())?.[1])
  const client = await textClient(port)
  const refused = `SERVER_ERROR another server takes writes: ${leader.url}\r\n`
  expect(await client.ask('get k\r\n', 'END\r\n')).toBe('VALUE k 0 1\r\n1\r\nEND\r\n')
  for (const command of [
    'set k 0 0 1\r\n2',
    'delete k',
    'incr k 1',
    'touch k 9',
    'gat 9 k',
    'flush_all',
    'ms k 1\r\n2',
  ])
    expect([command, await client.ask(`${command}\r\n`, '\r\n')]).toEqual([command, refused])
  client.destroy()
})

test('a condition on a revision is refused, because the leader has other revisions', async () => {
  const leader = await start(folder())
  const follower = await start(folder(), ['--follow', leader.url])
  await put(`${leader.url}/v1/c/k`, '1')
  await current(follower)
  await until(async () => (await fetch(`${follower.url}/v1/c/k`)).ok, 'it is there')
  const check = '{"collection":"c","key":"k","revision":1}'
  const requests: readonly (readonly [string, string, RequestInit])[] = [
    ['PUT', '/v1/c/k', { body: '2', headers: { 'If-Match': '"1"' } }],
    ['PUT', '/v1/c/k', { body: '2', headers: { 'If-None-Match': '"7"' } }],
    ['DELETE', '/v1/c/k', { headers: { 'If-Match': '"1"' } }],
    ['PATCH', '/v1/c/k?expire_in=5m', { headers: { 'If-Match': '"1"' } }],
    ['POST', '/v1/_batch', { body: `{"checks":[${check}],"operations":[]}` }],
  ]
  for (const [method, path, init] of requests) {
    const response = await fetch(follower.url + path, { method, redirect: 'manual', ...init })
    expect([method, path, response.status]).toEqual([method, path, 421])
    expect(await response.json()).toMatchObject({ code: 'misdirected', leader: leader.url })
  }
  const unnamed = { headers: { 'If-Match': '*' } }
  expect((await put(`${follower.url}/v1/c/k`, '2', unnamed)).status).toBe(307)
})

test('promotion while the leader works: nothing is lost, and the former leader takes no writes any more', async () => {
  const [portA, portB] = freePorts(2)
  const data = folder()
  const a = await start(data, ['--port', `${portA}`])
  const flags = ['--port', `${portB}`, '--follow', a.url]
  const dataB = folder()
  const b = await start(dataB, flags)
  await current(b)
  const state = { isDone: false }
  const acknowledged = new Map<string, number>()
  async function write(client: number): Promise<void> {
    const c = new Kvist(client === 0 ? a.url : b.url, { retries: 0 }).collection('c')
    for (let i = 0; !state.isDone; i++) {
      const done = await c.put(`${client}-${i % 10}`, i).then(
        () => true,
        () => false,
      )
      if (done) acknowledged.set(`${client}-${i % 10}`, i)
    }
  }
  const writing = [0, 1].map(write)
  await until(() => acknowledged.size > 10, 'clients write')
  const { exitCode, stdout } = await runToEnd([kvistProgram, 'nodes', 'promote', b.url])
  expect([exitCode, stdout]).toEqual([
    0,
    `${b.url} is the leader (term 1)\n${a.url} was followed: everything that it had is here\n${a.url} takes no writes any more: start it with --follow\n`,
  ])
  await Bun.sleep(100)
  state.isDone = true
  await Promise.all(writing)
  const c = new Kvist(b.url).collection<number>('c')
  for (const [key, value] of acknowledged) expect((await c.get(key))?.value).toBeGreaterThanOrEqual(value)
  const moved = await put(`${a.url}/v1/c/k`, '1')
  expect([moved.status, moved.headers.get('location')]).toEqual([307, `${b.url}/v1/c/k`])
  expect((await fetch(`${a.url}/readyz`)).status).toBe(503)
  // Both stay what they are after a restart with the same command lines.
  await Promise.all([a.crash(), b.crash()])
  const again = await start(data, ['--port', `${portA}`])
  expect((await put(`${again.url}/v1/c/k`, '1')).status).toBe(307)
  const b2 = await start(dataB, flags)
  expect((await put(`${b2.url}/v1/c/k`, '1')).status).toBe(201)
  await again.stop()
  const follower = await start(data, ['--port', `${portA}`, '--follow', b2.url])
  await current(follower)
  await same(follower, b2)
})

test('a leader that is killed under load: what it acknowledged and did not send is counted, and merged when it is back', async () => {
  const r = random(seedOfRun())
  const [portA, portB] = freePorts(2)
  const [dataA, dataB] = [folder(), folder()]
  const flagsA = ['--port', `${portA}`]
  let a = await start(dataA, flagsA)
  const flagsB = ['--port', `${portB}`, '--follow', a.url]
  const b = await start(dataB, flagsB)
  await current(b)
  const acknowledged = new Map<string, number>()
  const state = { isDone: false }
  async function write(client: number): Promise<void> {
    for (let i = 0; !state.isDone; i++) {
      const key = `${client}-${i}`
      const response = await put(`${a.url}/v1/c/${key}`, `${i}`).catch(() => null)
      if (response === null) return
      if (response.ok) acknowledged.set(key, i)
    }
  }
  const writing = [0, 1, 2, 3].map(write)
  await until(() => acknowledged.size > 100, 'clients write')
  // The follower hangs, so that it surely lacks something.
  b.signal('SIGSTOP')
  const before = acknowledged.size
  await until(() => acknowledged.size > before + 50 + r.int(50), 'clients write more')
  await a.crash()
  b.signal('SIGCONT')
  state.isDone = true
  await Promise.all(writing)
  await until(async () => (await leaderOf(b))?.state === 'retrying', 'it notices')
  await expect(new Kvist(b.url).nodes.promote()).rejects.toThrow('may still take writes')
  const { exitCode, stdout } = await runToEnd([kvistProgram, 'nodes', 'promote', '--force', b.url])
  expect([exitCode, stdout]).toEqual([
    0,
    expect.stringContaining('what it acknowledged after that may not be'),
  ])
  const heldBy = async ({ url }: TestServer) => {
    const keys = new Set<string>()
    for await (const { key } of new Kvist(url).collection('c').list({ include: 'keys' })) keys.add(key)
    return keys
  }
  const held = await heldBy(b)
  const lost = [...acknowledged.keys()].filter((key) => !held.has(key))
  expect(lost.length).toBeGreaterThan(0)
  // One of them is written anew, one that both had is deleted.
  await put(`${b.url}/v1/c/${lost[0]}`, '"new"')
  await fetch(`${b.url}/v1/c/${[...held][0]}`, { method: 'DELETE' })
  // The former leader is back as it was: it is told, and takes no writes.
  a = await start(dataA, flagsA)
  const aRole = async () => (await new Kvist(a.url).nodes.status()).role
  await until(async () => (await aRole()) === 'demoted', 'it is told')
  expect((await put(`${a.url}/v1/c/x`, '1')).headers.get('location')).toBe(`${b.url}/v1/c/x`)
  await a.stop()
  a = await start(dataA, [...flagsA, '--follow', b.url])
  await current(a)
  await same(a, b)
  const merged = (await leaderOf(a))!.merged!
  // A write that was done without a response is among them, too: at most one of each client.
  expect(merged).toBeGreaterThanOrEqual(lost.length - 1)
  expect(merged).toBeLessThanOrEqual(lost.length - 1 + 4)
  const now = await heldBy(b)
  for (const key of acknowledged.keys()) expect([key, now.has(key)]).toEqual([key, key !== [...held][0]])
  expect(await (await fetch(`${b.url}/v1/c/${lost[0]}`)).text()).toBe('"new"')
  expect(a.output()).toContain('this node had changes that its leader lacked')
  // What the later write replaced is listed, and nothing that the new leader knew when it replaced it.
  const conflictsOf = async ({ url }: TestServer) =>
    (await new Kvist(url).nodes.conflicts()).conflicts.map(({ key }) => key)
  expect([await conflictsOf(a), await conflictsOf(b)]).toEqual([[lost[0]!], []])
})

test('a follower that is killed again and again misses nothing of a leader under load', async () => {
  const r = random(seedOfRun())
  const a = await start(folder())
  const data = folder()
  let b = await start(data, ['--follow', a.url])
  const state = { isDone: false, writes: 0 }
  async function write(client: number): Promise<void> {
    for (let i = 0; !state.isDone; i++) {
      const url = `${a.url}/v1/c/${client}-${i % 20}`
      if (i % 7 === 6) await fetch(url, { method: 'DELETE' })
      else await put(`${url}${i % 5 === 4 ? '?expire_in=1h' : ''}`, `${i}`)
      state.writes++
    }
  }
  const writing = [0, 1, 2].map(write)
  for (let round = 0; round < 4; round++) {
    const before = state.writes
    await until(() => state.writes > before + 20 + r.int(100), 'clients write')
    await b.crash()
    b = await start(data, ['--follow', a.url])
  }
  state.isDone = true
  await Promise.all(writing)
  await same(a, b)
})

test('a follower of a follower: changes come down, writes go up, and after a promotion in the middle it goes on', async () => {
  const a = await start(folder())
  const b = await start(folder(), ['--follow', a.url])
  const c = await start(folder(), ['--follow', b.url])
  const kvist = new Kvist(c.url)
  await kvist.collection('c').put('k', 1)
  await until(async () => (await kvist.collection('c').get('k')) !== null, 'it came down')
  expect((await fetch(`${a.url}/v1/c/k`)).status).toBe(200)
  await current(b)
  await new Kvist(b.url).nodes.promote({ url: b.url })
  await kvist.collection('c').put('l', 2)
  await until(async () => (await kvist.collection('c').get('l')) !== null, 'it came down')
  expect((await fetch(`${b.url}/v1/c/l`)).status).toBe(200)
})

test('a renewal by a read on a follower reaches the leader', async () => {
  const a = await start(folder())
  const leader = new Kvist(a.url).collection('c')
  await leader.setSettings({ default_ttl: 1000, sliding: true })
  await leader.put('k', 1, { expireIn: 500 })
  const b = await start(folder(), ['--follow', a.url])
  await current(b)
  const listed = async () => (await leader.page({ include: 'all' })).members[0]!
  const before = Date.parse((await listed()).expires_at!)
  await fetch(`${b.url}/v1/c/k`)
  await until(async () => Date.parse((await listed()).expires_at!) > before, 'it is renewed')
})

test('followers that follow each other, or themselves, take no writes and say so', async () => {
  const [portA, portB] = freePorts(2)
  const urlOf = (port: number | undefined) => `http://127.0.0.1:${port}`
  const a = await start(folder(), ['--port', `${portA}`, '--follow', urlOf(portB)])
  const b = await start(folder(), ['--port', `${portB}`, '--follow', urlOf(portA)])
  for (const one of [a, b]) {
    await until(async () => (await leaderOf(one))?.state === 'circular', 'it notices')
    expect((await put(`${one.url}/v1/c/k`, '1')).status).toBe(503)
  }
  await new Kvist(a.url).nodes.promote({ force: true, url: a.url })
  expect((await put(`${a.url}/v1/c/k`, '1')).status).toBe(201)
  await until(async () => (await fetch(`${b.url}/v1/c/k`)).ok, 'the other follows')
  expect((await put(`${b.url}/v1/c/k`, '1')).status).toBe(307)
  const [port] = freePorts(1)
  const self = await start(folder(), ['--port', `${port}`, '--follow', urlOf(port)])
  await until(async () => (await leaderOf(self))?.state === 'circular', 'it notices')
  const response = await put(`${self.url}/v1/c/k`, '1')
  expect([response.status, await codeOf(response)]).toEqual([503, 'read_only'])
})

test('two followers that were both promoted: neither demotes the other, and the earlier term gives way', async () => {
  const [portA] = freePorts(1)
  const dataA = folder()
  const a = await start(dataA, ['--port', `${portA}`])
  const b = await start(folder(), ['--follow', a.url])
  const c = await start(folder(), ['--follow', a.url])
  await Promise.all([current(b), current(c)])
  await a.crash()
  const [forB, forC] = [new Kvist(b.url).nodes, new Kvist(c.url).nodes]
  await forB.promote({ force: true, url: b.url })
  await forC.promote({ force: true, url: c.url })
  const again = await start(dataA, ['--port', `${portA}`])
  const { nodes } = new Kvist(again.url)
  await until(async () => (await nodes.status()).role === 'demoted', 'one has told it')
  const output = () => b.output() + c.output()
  await until(() => output().includes('does not give way'), 'the other is told')
  // Promoted again, the first has the last word of all.
  await nodes.promote({ force: true, url: again.url })
  expect((await nodes.status()).term).toBe(2)
  const later = { node: 'n1', url: null, term: 1, of: null }
  await expect(nodes.demote(later)).rejects.toThrow('a later promotion')
  await expect(nodes.demote({ ...later, term: 9, of: 'another' })).rejects.toThrow('not another')
})

test.each([
  ['/v1/_nodes/promote', '{"url":"ftp://x"}'],
  ['/v1/_nodes/promote', '{"force":1}'],
  ['/v1/_nodes/promote', '{"more":1}'],
  ['/v1/_nodes/demote', '{}'],
  ['/v1/_nodes/demote', '{"node":"n","term":0}'],
  ['/v1/_nodes/demote', '{"node":"n","term":1,"of":1}'],
  ['/v1/_nodes/demote', '{"node":"n","term":1,"url":"javascript:x"}'],
])('%s %s is refused', async (path, body) => {
  const a = await start(folder())
  const response = await fetch(a.url + path, { method: 'POST', body })
  expect([response.status, await codeOf(response)]).toEqual([400, 'invalid_request'])
  expect((await put(`${a.url}/v1/c/k`, '1')).status).toBe(201)
})

test.each([
  ['without an id', '', {}],
  ['with an id that is none', '', { 'Kvist-Node': '../n' }],
  ['that waits too long', '?wait=1h', { 'Kvist-Node': 'n' }],
  ['with another word for true', '?fill=yes', { 'Kvist-Node': 'n' }],
  ['with a cursor that is none', '?since=%00', { 'Kvist-Node': 'n' }],
  ['with another parameter', '?more=1', { 'Kvist-Node': 'n' }],
])('a question of a follower %s is refused', async (_name, query, headers) => {
  const a = await start(folder())
  expect((await fetch(`${a.url}/v1/_replicate${query}`, { headers })).status).toBe(400)
})

test.each([
  [['--follow', 'ftp://x'], '--follow'],
  [['--follow', 'http://127.0.0.1:9', '--mirror-to', 'http://127.0.0.1:9'], 'is a target of the mirror'],
])('%j is refused', async (flags, why) => {
  const { exitCode, stderr } = await runToEnd([kvistProgram, 'serve', '--data', folder(), ...flags])
  expect([exitCode, stderr.includes(why)]).toEqual([2, true])
})
