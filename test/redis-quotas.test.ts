import { expect } from 'bun:test'
import type { Engine, Put } from '../src/core/engine.ts'
import { needing } from './support/needs.ts'
import { type RedisServer, startRedis } from './support/redis-cluster.ts'
import { openTestRedis } from './support/redis-engine.ts'

/** Quotas of a collection that is on several lines, as docs/cluster.md promises them. */

const { test, beforeAll, afterAll } = needing('redis')

let server: RedisServer & { stop(): Promise<void> }
beforeAll(async () => {
  server = await startRedis({ config: { appendfsync: 'no' } })
})
afterAll(() => server?.stop())

const quotas = [{ collection: 'c', maxMembers: 100, maxBytes: null, maxValueBytes: null }]

async function put(engine: Engine, key: string): Promise<boolean> {
  const content = { value: '1', contentType: 'application/json', flags: 0, expiresAtMs: null }
  const write: Put = { op: 'put', collection: 'c', key, ...content }
  return (await engine.commit({ checks: [], writes: [write], nowMs: Date.now(), quotas })).ok
}

async function membersOf(engine: Engine): Promise<number> {
  return (await engine.collections()).find(({ name }) => name === 'c')!.members
}

test('one server keeps a quota exactly, however many write at once', async () => {
  const engine = await openTestRedis([server], { prefix: 'one', lines: 8, onCommit() {} })
  try {
    const stored = await Promise.all(Array.from({ length: 300 }, (_, i) => put(engine, `k${i}`)))
    expect([stored.filter(Boolean).length, await membersOf(engine)]).toEqual([100, 100])
  } finally {
    await engine.close()
  }
})

test('several servers pass it at most by what is under way, and once it is reached nothing more is stored', async () => {
  const options = { prefix: 'several', lines: 8, onCommit() {} }
  const engines = await Promise.all([1, 2, 3].map(() => openTestRedis([server], options)))
  const writers = 5
  const work = async (engine: Engine, name: string) => {
    for (let i = 0; i < 20; i++) await put(engine, `${name}-${i}`)
  }
  try {
    await Promise.all(
      engines.flatMap((engine, e) => Array.from({ length: writers }, (_, w) => work(engine, `${e}-${w}`))),
    )
    const members = await membersOf(engines[0]!)
    expect(members).toBeWithin(100, 100 + engines.length * writers + 1)
    for (const engine of engines) expect(await put(engine, 'more')).toBe(false)
    expect(await membersOf(engines[0]!)).toBe(members)
  } finally {
    for (const engine of engines) await engine.close()
  }
})
