import { afterEach, describe, expect, test } from 'bun:test'
import { type Database, openDatabase } from '../src/core/database.ts'
import type { Engine } from '../src/core/engine.ts'
import { KvistError } from '../src/core/errors.ts'
import { openMemory } from '../src/engines/memory/engine.ts'
import { listen } from '../src/http/server.ts'
import { v1Routes } from '../src/http/v1/routes.ts'
import { listenMemcached } from '../src/memcached/listener.ts'
import { startSockets } from '../src/net/sockets.ts'
import { authenticatorOf } from './support/authenticator.ts'
import { lateEngine } from './support/late-engine.ts'
import { textClient } from './support/memcached/text-client.ts'
import { openWire, requestBytes } from './support/wire.ts'

/** Reads of HTTP and of memcached that come in in one tick are one read of the engine. */

const closing: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
})

interface Reading {
  readonly db: Database
  readonly httpPort: number
  readonly memcachedPort: number
  /** The keys of each `readMany`, and those that were read by themselves. */
  readonly together: string[][]
  readonly alone: string[]
  readonly errors: unknown[]
}

/** Servers over an engine that takes note of what it is asked for; members named `damaged…` cannot be read. */
async function serve(
  wrap: (engine: Engine) => Engine = (engine) => engine,
  cacheBytes = 0,
): Promise<Reading> {
  const together: string[][] = []
  const alone: string[] = []
  const errors: unknown[] = []
  const requireWhole = (keys: readonly string[]) => {
    const damaged = keys.find((key) => key.startsWith('damaged'))
    if (damaged !== undefined) throw new KvistError('damaged', `${damaged} is damaged`)
  }
  const db = await openDatabase({
    async open(onCommit) {
      const engine = openMemory({ onCommit })
      return wrap({
        ...engine,
        read(collection, key) {
          alone.push(key)
          requireWhole([key])
          return engine.read(collection, key)
        },
        readMany(refs, maxBytes) {
          const keys = refs.map(({ key }) => key)
          together.push(keys)
          requireWhole(keys)
          return engine.readMany(refs, maxBytes)
        },
      })
    },
    cacheBytes,
    now: Date.now,
    onError: (error) => errors.push(error),
  })
  const onError = (error: unknown) => void errors.push(error)
  const sockets = startSockets(onError)
  const reads = db.readQueue(sockets.ticks.scheduleWork)
  const shared = {
    host: '127.0.0.1',
    port: 0,
    authenticator: authenticatorOf(null),
    now: Date.now,
    onError,
    sockets,
    reads,
  }
  const routes = v1Routes(db)
  const http = listen({ ...shared, idleTimeoutSeconds: 30, routes, observe: () => () => {} })
  const memcached = listenMemcached({
    ...shared,
    version: '1',
    db,
    collection: 'c',
    durability: 'full',
    idleTimeoutSeconds: 0,
    stallTimeoutSeconds: 60,
    maxConnections: 100,
    maxValueBytes: 16 << 20,
    maxHeldBytes: 64 << 20,
    onForeignClient() {},
  })
  closing.push(
    () => db.close(),
    () => http.stop(1000),
    () => memcached.stop(1000),
  )
  for (let i = 0; i < 300; i++) await db.put('c', `k${i}`, contentOf(`${i}`))
  return {
    db,
    httpPort: Number(new URL(http.url).port),
    memcachedPort: Number(memcached.address.split(':').at(-1)),
    together,
    alone,
    errors,
  }
}

function contentOf(value: string) {
  return { value, contentType: 'application/json', flags: 0, expiresAtMs: null }
}

const get = (key: string) => requestBytes('GET', `/v1/c/${key}`, { headers: { Host: '127.0.0.1' } })

/** All are sent in one go, so that most of them come in in one tick. */
async function httpValues(port: number, keys: readonly string[]): Promise<string[]> {
  const wires = await Promise.all(keys.map(() => openWire(port)))
  closing.push(async () => {
    for (const wire of wires) wire.destroy()
  })
  for (const [i, wire] of wires.entries()) wire.write(get(keys[i]!))
  const responses = await Promise.all(wires.map((wire) => wire.response()))
  return responses.map(({ status, body }) => (status === 200 ? body.toString() : `${status}`))
}

const keysOf = (count: number) => Array.from({ length: count }, (_, i) => `k${i}`)

for (const [name, wrap] of [
  ['an engine that has them at once', (engine: Engine) => engine],
  ['one that has them later', lateEngine],
] as const) {
  describe(`GETs of one tick, with ${name}`, () => {
    test('are read together, and each client has its own', async () => {
      const { httpPort, together, alone } = await serve(wrap)
      const keys = keysOf(100)
      expect(await httpValues(httpPort, keys)).toEqual(keys.map((key) => key.slice(1)))
      expect(alone).toEqual([])
      expect(together.flat().toSorted()).toEqual(keys.toSorted())
      expect(together.length).toBeLessThan(50)
    })

    test('ask the engine for none that is in the cache, until it is written again', async () => {
      const { db, httpPort, together, alone } = await serve(wrap, 1 << 20)
      for (let i = 0; i < 2; i++) await httpValues(httpPort, ['k1'])
      alone.length = 0
      const { cache } = db.stats()
      const hits = cache.hits
      expect(await httpValues(httpPort, ['k1', 'k2', 'k1'])).toEqual(['1', '2', '1'])
      expect([together, alone, cache.hits - hits]).toEqual([[], ['k2'], 2])
      await db.put('c', 'k1', contentOf('"new"'))
      expect(await httpValues(httpPort, ['k1'])).toEqual(['"new"'])
      await db.delete('c', 'k1')
      expect(await httpValues(httpPort, ['k1'])).toEqual(['404'])
    })

    test('fail alone where one of them is damaged', async () => {
      const { httpPort, together } = await serve(wrap)
      const keys = [...keysOf(40), 'damaged', ...keysOf(40), 'none']
      const values = await httpValues(httpPort, keys)
      expect(values[40]).toBe('500')
      expect(values.at(-1)).toBe('404')
      const others = [...keysOf(40), ...keysOf(40)].map((key) => key.slice(1))
      expect(values.filter((_, i) => i !== 40 && i !== keys.length - 1)).toEqual(others)
      expect(Math.max(...together.map(({ length }) => length))).toBeGreaterThan(1)
    })

    test('of large values are served too', async () => {
      const { db, httpPort } = await serve(wrap)
      const large = JSON.stringify('x'.repeat(400_000))
      for (let i = 0; i < 10; i++) await db.put('c', `large${i}`, contentOf(large))
      const keys = Array.from({ length: 10 }, (_, i) => [`large${i}`, `k${i}`]).flat()
      const values = await httpValues(httpPort, keys)
      expect(values.map((value) => (value === large ? 'large' : value))).toEqual(
        Array.from({ length: 10 }, (_, i) => ['large', `${i}`]).flat(),
      )
    })

    test('of one connection get their responses in order, and see what the writes before them did', async () => {
      const { httpPort } = await serve(wrap)
      const wire = await openWire(httpPort)
      const parts: Buffer[] = []
      const expected: string[] = []
      for (let i = 0; i < 50; i++) {
        if (i % 5 === 4) {
          parts.push(
            requestBytes('PUT', '/v1/c/k1', {
              headers: { Host: '127.0.0.1', 'Content-Type': 'application/json' },
              body: `"${i}"`,
            }),
          )
          expected.push('stored')
        } else {
          parts.push(get(i % 2 ? 'k1' : `k${i}`))
          expected.push(i % 2 ? (i < 4 ? '1' : `"${i - ((i % 5) + 1)}"`) : `${i}`)
        }
      }
      wire.write(Buffer.concat(parts))
      for (const [i, value] of expected.entries()) {
        const { body } = await wire.response()
        expect([i, value === 'stored' ? value : body.toString()]).toEqual([i, value])
      }
      wire.destroy()
    })
  })

  describe(`memcached's gets of one tick, with ${name}`, () => {
    test('are read together, those of a line, of a pipeline and of several clients', async () => {
      const { memcachedPort, together, alone } = await serve(wrap)
      const clients = await Promise.all(Array.from({ length: 10 }, () => textClient(memcachedPort)))
      const lineOf = (i: number) => `get k${i} none k${i + 1}\r\nmg k${i} v\r\nget k${i + 2}\r\nmn\r\n`
      const value = (i: number) => `VALUE k${i} 0 ${`${i}`.length}\r\n${i}\r\n`
      const responses = await Promise.all(clients.map((client, i) => client.ask(lineOf(i), 'MN\r\n')))
      expect(responses).toEqual(
        clients.map(
          (_, i) =>
            `${value(i)}${value(i + 1)}END\r\nVA ${`${i}`.length}\r\n${i}\r\n${value(i + 2)}END\r\nMN\r\n`,
        ),
      )
      expect(alone).toEqual([])
      expect(together.flat()).toHaveLength(50)
      expect(together.length).toBeLessThanOrEqual(10)
      for (const client of clients) client.destroy()
    })

    test('of which one is damaged fail for that alone', async () => {
      const { memcachedPort } = await serve(wrap)
      const client = await textClient(memcachedPort)
      const reply = await client.ask('get k1\r\nget damaged\r\nget k2 k3\r\nmn\r\n', 'MN\r\n')
      expect(reply).toMatch(
        /^VALUE k1 0 1\r\n1\r\nEND\r\nSERVER_ERROR [^\r]*\r\nVALUE k2 .*\r\n2\r\nVALUE k3 .*\r\n3\r\nEND\r\nMN\r\n$/,
      )
      client.destroy()
    })

    test('may name very many keys, of large values too, and respond in order', async () => {
      const { db, memcachedPort, together } = await serve(wrap)
      const large = 'x'.repeat(300_000)
      for (let i = 0; i < 300; i += 50) await db.put('c', `k${i}`, contentOf(`"${large}"`))
      const keys = keysOf(300)
      const client = await textClient(memcachedPort)
      const reply = await client.ask(`get ${keys.join(' ')}\r\nmn\r\n`, 'MN\r\n')
      const expected = keys.map((key, i) => {
        const value = i % 50 === 0 ? large : `${i}`
        return `VALUE ${key} 0 ${value.length}\r\n${value}\r\n`
      })
      expect(reply).toBe(`${expected.join('')}END\r\nMN\r\n`)
      expect(together.length).toBeLessThan(30)
      client.destroy()
    })
  })
}
