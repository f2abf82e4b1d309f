import { afterEach, describe, expect, test } from 'bun:test'
import { readFileSync, rmSync } from 'node:fs'
import { certificateFolder } from './support/certificates.ts'
import { until } from './support/engine.ts'
import { random, seedOfRun } from './support/random.ts'
import { jsonOf, put } from './support/responses.ts'
import { kvistProgram, newFolder, runServe, startServer, type TestServer } from './support/server.ts'
import { runToEnd } from './support/spawn.ts'
import { openWire, ownMib } from './support/wire.ts'

/** Cache nodes as processes: their origins are killed, their memory is bounded, they speak TLS. */

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

async function startOrigin(dataFolder: string, port = 0): Promise<TestServer> {
  const server = await startServer({ dataFolder, flags: ['--port', `${port}`] })
  running.push(server)
  return server
}

async function startCache(flags: readonly string[]): Promise<TestServer> {
  const cache = await startServer({ store: 'none', flags })
  running.push(cache)
  return cache
}

async function reaches(cache: string, state: string): Promise<void> {
  await until(async () => {
    const found = await fetch(`${cache}/v1/_nodes`)
      .then((response) => response.json())
      .catch(() => null)
    return (found as { origins?: { state: string }[] } | null)?.origins?.[0]?.state === state
  }, `the origin is ${state}`)
}

test('an origin that is killed again and again: what was acknowledged is never unseen', async () => {
  const r = random(seedOfRun())
  const data = folder()
  let origin = await startOrigin(data)
  const cache = await startCache(['--cache-of', origin.url])
  await reaches(cache.url, 'followed')
  const url = `${cache.url}/v1/c/k`
  let acknowledged = 0
  let sent = 0
  for (let round = 0; round < 4; round++) {
    const kill = Bun.sleep(100 + r.int(300)).then(() => origin.crash())
    for (let isAlive = true; isAlive; ) {
      const response = await put(url, `${++sent}`).catch(() => null)
      if (response?.ok) acknowledged = sent
      else isAlive = false
      const read = await fetch(url)
      if (read.ok) expect(Number(await read.text())).toBeGreaterThanOrEqual(acknowledged)
    }
    await kill
    await reaches(cache.url, 'down')
    expect((await put(url, '0')).status).toBe(503)
    const health = await fetch(`${cache.url}/healthz`)
    expect(health.status).toBe(200)
    origin = await startOrigin(data, origin.port)
    await put(`${origin.url}/v1/c/k`, `${++sent}`)
    acknowledged = sent
    await reaches(cache.url, 'followed')
    const read = await fetch(url)
    expect(read.headers.get('cache-status')).not.toContain('ttl')
    expect(Number(await read.text())).toBe(acknowledged)
  }
})

test('many large values, and clients that do not read theirs, stay within a bounded memory', async () => {
  const origin = await startOrigin(folder())
  const cache = await startCache(['--cache-of', origin.url, '--cache-bytes', '16MiB'])
  await reaches(cache.url, 'followed')
  const value = new Uint8Array(1_500_000).fill(97)
  const keys = Array.from({ length: 60 }, (_, i) => `k${i}`)
  for (const key of keys) {
    await put(`${cache.url}/v1/large/${key}`, value, { 'content-type': 'text/plain' })
  }
  await put(`${cache.url}/v1/large/huge`, new Uint8Array(15_000_000).fill(98), {
    'content-type': 'text/plain',
  })
  for (let round = 0; round < 3; round++) {
    await Promise.all(keys.map(async (key) => (await fetch(`${cache.url}/v1/large/${key}`)).arrayBuffer()))
  }
  const wires = await Promise.all(keys.map(() => openWire(cache.port)))
  for (const [i, wire] of wires.entries()) {
    wire.pause()
    const key = i % 3 === 0 ? 'huge' : keys[i]
    wire.write(`GET /v1/large/${key} HTTP/1.1\r\nHost: x\r\n\r\n`)
  }
  const exports = await Promise.all([1, 2, 3, 4].map(() => openWire(cache.port)))
  for (const wire of exports) {
    wire.pause()
    wire.write('GET /v1/large HTTP/1.1\r\nHost: x\r\nAccept: application/x-ndjson\r\n\r\n')
  }
  await Bun.sleep(1500)
  const { cache: numbers } = await jsonOf<{ cache: { bytes: number } }>(fetch(`${cache.url}/v1/_nodes`))
  expect(numbers.bytes).toBeLessThanOrEqual(16 * 2 ** 20)
  // The values are 105 MB, and those that are being sent would be 350 MB without a bound.
  expect(ownMib(cache.pid)).toBeLessThan(300)
  for (const wire of [...wires, ...exports]) wire.destroy()
})

test('more watches than the runtime runs requests by itself do not keep the cache from following', async () => {
  const origin = await startOrigin(folder())
  const cache = await startCache(['--cache-of', origin.url])
  await reaches(cache.url, 'followed')
  const stop = new AbortController()
  const wires = await Promise.all(Array.from({ length: 300 }, () => openWire(cache.port)))
  for (const wire of wires) {
    wire.write('GET /v1/_changes HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n')
  }
  await until(() => wires.every((wire) => wire.received() > 0), 'all watches have begun')
  await put(`${origin.url}/v1/c/k`, '1')
  await fetch(`${cache.url}/v1/c/k`)
  await put(`${origin.url}/v1/c/k`, '2')
  await until(async () => (await (await fetch(`${cache.url}/v1/c/k`)).text()) === '2', 'the change is seen')
  stop.abort()
  for (const wire of wires) wire.destroy()
})

describe('TLS', () => {
  test('to an origin needs its authority: --cache-ca; the cache has a certificate of its own', async () => {
    using certificates = certificateFolder()
    const authority = await certificates.authority('authority')
    const { cert, key } = await authority.issue('server')
    const identity = ['--tls-cert', cert, '--tls-key', key]
    const origin = await startServer({ dataFolder: folder(), flags: identity })
    running.push(origin)
    const url = `https://localhost:${origin.port}`
    const stranger = await startCache(['--cache-of', url])
    await until(() => stranger.output().includes('cannot be followed'), 'the certificate is refused')
    expect((await fetch(`${stranger.url}/v1/c/k`)).status).toBe(503)
    const cache = await startCache(['--cache-of', url, '--cache-ca', authority.ca, ...identity])
    const tls = { ca: readFileSync(authority.ca, 'utf8') }
    const ask = (path: string, init: RequestInit = {}) =>
      fetch(`https://localhost:${cache.port}${path}`, { ...init, tls } as RequestInit)
    await until(() => cache.output().includes('are followed'), 'the origin is followed')
    expect((await ask('/v1/c/k', { method: 'PUT', body: '1' })).status).toBe(201)
    for (const did of ['fwd=uri-miss', 'hit']) {
      expect((await ask('/v1/c/k')).headers.get('cache-status')).toContain(did)
    }
  })

  test('files that cannot be read are one line', async () => {
    for (const flag of ['--cache-ca', '--cache-token-file']) {
      const { exitCode, output } = await runServe(['--cache-of', 'http://127.0.0.1:1', flag, '/nowhere/file'])
      expect(exitCode).toBe(2)
      expect(output).toContain('/nowhere/file cannot be read: ENOENT')
    }
  })
})

test('kvist nodes shows the origins of a cache', async () => {
  const origin = await startOrigin(folder())
  const cache = await startCache(['--cache-of', origin.url])
  await reaches(cache.url, 'followed')
  const { stdout } = await runToEnd([kvistProgram, 'nodes', '--url', cache.url])
  expect(stdout).toStartWith(`${origin.url}\tfollowed\t`)
})
