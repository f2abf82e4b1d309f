import { afterAll, beforeAll, expect, test } from 'bun:test'
import { readFileSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { parseSamples, type Sample, sampleOf } from './support/prometheus.ts'
import { startServer, type TestServer } from './support/server.ts'

/** `/metrics` of a real server. */

const token = 'a-token'
const headers = { authorization: `Bearer ${token}` }

let server: TestServer
beforeAll(async () => {
  server = await startServer({ env: { KVIST_TOKEN: token }, flags: ['--access-log'] })
})
afterAll(() => server.remove())

function ask(path: string, init: RequestInit = {}): Promise<Response> {
  return fetch(server.url + path, { ...init, headers: { ...headers, ...init.headers } })
}

async function scrape(): Promise<Sample[]> {
  const response = await ask('/metrics')
  expect(response.status).toBe(200)
  expect(response.headers.get('content-type')).toStartWith('text/plain; version=0.0.4')
  return parseSamples(await response.text())
}

test('it needs the token, as members do', async () => {
  expect((await fetch(`${server.url}/metrics`)).status).toBe(401)
  expect((await fetch(`${server.url}/healthz`)).status).toBe(200)
})

test('requests are counted once each, by route and status', async () => {
  const member = { method: 'GET', route: '/v1/:collection/:key' }
  const before = sampleOf(await scrape(), 'request_count', { ...member, status: '200' }) ?? 0
  await ask('/v1/count/a', { method: 'PUT', body: '1' })
  for (let i = 0; i < 10; i++) await (await ask('/v1/count/a')).text()
  await ask('/v1/count/a', { method: 'HEAD' })
  await (await ask('/v1/count/missing')).text()
  const after = await scrape()
  expect(sampleOf(after, 'request_count', { ...member, status: '200' })).toBe(before + 11)
  expect(sampleOf(after, 'request_count', { ...member, status: '404' })).toBe(1)
  expect(sampleOf(after, 'request_count', { method: 'PUT', route: member.route, status: '201' })).toBe(1)
  expect(sampleOf(after, 'request_latency_seconds_count', member)).toBe(before + 12)
  expect(sampleOf(after, 'request_latency_seconds_sum', member)).toBeGreaterThan(0)
})

test('the store reports what it holds and what it has done', async () => {
  const before = await scrape()
  await Promise.all(
    Array.from({ length: 20 }, (_, i) => ask(`/v1/held/k${i}`, { method: 'PUT', body: '"0123456789"' })),
  )
  await ask('/v1/held/k1', { method: 'PUT', body: '1', headers: { 'if-match': '"999999"' } })
  for (let i = 0; i < 4; i++) await (await ask('/v1/held/k2')).text()
  const after = await scrape()
  const grown = (name: string, labels = {}) =>
    sampleOf(after, name, labels)! - sampleOf(before, name, labels)!
  expect(grown('kvist_commits_total')).toBe(20)
  expect(grown('kvist_writes_total')).toBe(20)
  expect(grown('kvist_commit_group_size_sum')).toBe(20)
  expect(grown('kvist_fsync_seconds_count')).toBeGreaterThan(0)
  for (const what of ['group', 'segment', 'throttle']) {
    // Groups of conditional commits that failed are among them.
    const waits = grown('kvist_commit_wait_seconds_count', { for: what })
    expect(waits).toBeGreaterThanOrEqual(grown('kvist_commit_group_size_count'))
  }
  expect(grown('kvist_members')).toBe(20)
  expect(grown('kvist_cache_hits_total') + grown('kvist_cache_misses_total')).toBeGreaterThanOrEqual(4)
  expect(sampleOf(after, 'kvist_collection_members', { collection: 'held' })).toBe(20)
  expect(sampleOf(after, 'kvist_collection_bytes', { collection: 'held' })).toBe(20 * 12 + 10 * 2 + 10 * 3)
  expect(sampleOf(after, 'process_resident_memory_bytes')).toBeGreaterThan(1e6)
})

test('what has expired is counted when it is taken away', async () => {
  await ask('/v1/short/a?expire_in=1', { method: 'PUT', body: '1' })
  while (sampleOf(await scrape(), 'kvist_expired_total') === 0) await Bun.sleep(100)
  expect(sampleOf(await scrape(), 'kvist_expired_total')).toBe(1)
})

test('open connections are those of clients', async () => {
  const count = async () => sampleOf(await scrape(), 'kvist_open_connections', { protocol: 'http' })!
  const before = await count()
  const sockets = Array.from({ length: 5 }, () => connect(server.port, '127.0.0.1'))
  while ((await count()) < before + 5) await Bun.sleep(20)
  for (const socket of sockets) socket.destroy()
  while ((await count()) >= before + 5) await Bun.sleep(20)
})

test('labels stay bounded whatever clients send', async () => {
  const series = async () =>
    new Set((await scrape()).map(({ name, labels }) => `${name} ${JSON.stringify(labels)}`))
  // Every route with every method once, and more collections than have labels: nothing new can come after this.
  const paths = ['/v1', '/v1/c', '/v1/c/k', '/v1/c/k/l', '/metrics', '/healthz', '/readyz', '/nope']
  const methods = ['GET', 'PUT', 'POST', 'PATCH', 'DELETE', 'OPTIONS', 'PROPFIND']
  const visit = async (path: string, init: RequestInit = {}) => void (await ask(path, init)).body?.cancel()
  for (const path of paths) for (const method of methods) await visit(path, { method })
  for (let i = 0; i < 150; i++) await visit(`/v1/before-${i}/k`, { method: 'PUT', body: '1' })
  await visit('/v1/before-1/k', { method: 'PUT', body: '1' })
  await visit('/v1/before-1/k/l', { method: 'PUT', body: '1' })
  await visit('/v1/before-1/k/l')
  const before = await series()

  for (let i = 0; i < 40; i++) {
    await visit(`/v1/after-${i}/k`, { method: 'PUT', body: '1' })
    await visit(`/v1/after-${i}/k`)
    await visit(`/v1/before-1/key-${i}/of/many/parts`)
    await visit(`/nowhere/${i}?q=${i}`)
    await visit(`/v1/after-${i}`, { method: `VERB${i}` })
    await visit(`/v1/before-1/k`, { headers: { 'x-request-id': `id-${i}`, 'user-agent': `agent-${i}` } })
  }
  const after = await series()
  const names = new Set([...after].filter((one) => one.startsWith('kvist_collection_members')))
  expect(names.size).toBeLessThanOrEqual(101)
  expect([...after].filter((one) => !before.has(one))).toEqual([])
})

test('the access log has a line for each request', async () => {
  await ask('/v1/logged/a?expire_in=60', { method: 'PUT', body: '1', headers: { 'x-request-id': 'mine' } })
  while (!server.output().includes('"request_id":"mine"')) await Bun.sleep(10)
  const line = server
    .output()
    .split('\n')
    .find((one) => one.includes('"request_id":"mine"'))!
  expect(JSON.parse(line)).toMatchObject({
    level: 'info',
    message: 'PUT /v1/logged/a 201',
    route: '/v1/:collection/:key',
    client: '127.0.0.1',
  })
})

test('a damaged member is counted by its collection, and the log says which it is and why', async () => {
  const own = await startServer()
  const { url } = own
  for (const key of ['well', 'hurt'])
    await fetch(`${url}/v1/held/${key}`, { method: 'PUT', body: `"${key}"` })
  await own.stop()
  const path = join(own.dataFolder, 'kvist.db')
  const bytes = readFileSync(path)
  bytes.write('"hurl"', bytes.indexOf('"hurt"'))
  writeFileSync(path, bytes)
  const again = await startServer({ dataFolder: own.dataFolder })
  try {
    for (let i = 0; i < 2; i++) expect((await fetch(`${again.url}/v1/held/hurt`)).status).toBe(500)
    expect((await fetch(`${again.url}/v1/held/well`)).status).toBe(200)
    const samples = parseSamples(await (await fetch(`${again.url}/metrics`)).text())
    expect(sampleOf(samples, 'kvist_damaged_reads_total', { collection: 'held' })).toBe(2)
    const line = again
      .output()
      .split('\n')
      .find((text) => text.includes('damaged'))
    expect(JSON.parse(line ?? '{}')).toMatchObject({
      level: 'error',
      path: '/v1/held/hurt',
      message: 'what is stored of "hurt" in held is damaged',
      error: { code: 'damaged', cause: { message: expect.stringContaining('checksum') } },
    })
  } finally {
    await again.stop()
    await own.remove()
  }
})
