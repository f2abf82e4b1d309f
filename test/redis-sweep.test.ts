import { expect } from 'bun:test'
import type { Engine, Write } from '../src/core/engine.ts'
import { lineKeys } from '../src/engines/redis/layout.ts'
import { faultOf } from './support/engine.ts'
import { needing } from './support/needs.ts'
import { type RedisServer, startRedis } from './support/redis-cluster.ts'
import { openTestRedis } from './support/redis-engine.ts'

/** What several servers of one store do in the background: sweep, and delete tombstones. */

const { test, beforeAll, afterAll } = needing('redis')

let server: RedisServer & { stop(): Promise<void> }
beforeAll(async () => {
  server = await startRedis({ config: { appendfsync: 'no' } })
})
afterAll(() => server?.stop())

function commit(engine: Engine, ...writes: Write[]) {
  return engine.commit({ checks: [], writes, nowMs: Date.now(), apart: true })
}

function put(key: string, expiresAtMs: number | null = null): Write {
  const content = { value: '1', contentType: 'application/json', flags: 0, expiresAtMs }
  return { op: 'put', collection: 'c', key, ...content }
}

test('of two servers one sweeps a line; both see what has expired, and the other takes over when it ends', async () => {
  const options = { prefix: 'lease', lines: 1, onCommit() {} }
  const [one, other] = await Promise.all([openTestRedis([server], options), openTestRedis([server], options)])
  const { head } = lineKeys('lease', 1)[0]!
  const laterMs = Date.now() + 60_000
  const due = async (engine: Engine, purpose?: 'sweep') =>
    (await engine.expiring(laterMs, 10, purpose)).map(({ key }) => key)
  try {
    await commit(one, put('a', laterMs - 2), put('b', laterMs - 1))
    expect(await due(one, 'sweep')).toEqual(['a', 'b'])
    const [holder] = String(await server.command('HGET', head, 'lease')).split(' ')
    // Whatever time the test takes.
    await server.command('HSET', head, 'lease', `${holder} ${laterMs}`)
    expect(await due(other, 'sweep')).toEqual([])
    expect(await due(other)).toEqual(['a', 'b'])
    expect(await due(one, 'sweep')).toEqual(['a', 'b'])
    await server.command('HSET', head, 'lease', `${holder} ${Date.now() - 1000}`)
    expect(await due(other, 'sweep')).toEqual(['a', 'b'])
    const [next] = String(await server.command('HGET', head, 'lease')).split(' ')
    expect(next).not.toBe(holder!)
  } finally {
    await Promise.all([one.close(), other.close()])
  }
})

test('nothing is written for a line on which nothing has expired', async () => {
  const engine = await openTestRedis([server], { prefix: 'idle', lines: 1, onCommit() {} })
  try {
    await commit(engine, put('a'))
    expect(await engine.expiring(Date.now(), 10, 'sweep')).toEqual([])
    expect(await server.command('HEXISTS', lineKeys('idle', 1)[0]!.head, 'lease')).toBe(0)
  } finally {
    await engine.close()
  }
})

test('a line keeps so many tombstones, the youngest, and readers that missed others are refused', async () => {
  const options = { prefix: 'tombstones', lines: 1, maxTombstones: 4, onCommit() {} }
  const engine = await openTestRedis([server], options)
  const removed = (key: string): Write => ({ op: 'delete', collection: 'c', key, cause: 'delete' })
  try {
    const keys = Array.from({ length: 10 }, (_, i) => `k${i}`)
    await commit(engine, ...keys.map((key) => put(key)))
    const before = engine.head()
    await commit(engine, ...keys.slice(0, 4).map(removed))
    expect(await engine.forget(0, 1000)).toBe(0)
    await commit(engine, ...keys.slice(4).map(removed))
    expect(await engine.forget(0, 2)).toBe(2)
    expect(await engine.forget(0, 1000)).toBe(4)
    expect(await engine.forget(0, 1000)).toBe(0)
    const { changes } = await engine.changes('', 100)
    expect(changes.map((change) => change.type)).toEqual(['delete', 'delete', 'delete', 'delete'])
    expect((await faultOf((async () => engine.changes(before, 10))())).code).toBe('compacted')
    // By time it can be fewer.
    expect(await engine.forget(Date.now() + 1000, 1000)).toBe(4)
  } finally {
    await engine.close()
  }
})
