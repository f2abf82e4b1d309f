import { expect } from 'bun:test'
import type { Commit, CommitResult, Engine, Renew, Write } from '../src/core/engine.ts'
import { realTimers } from '../src/core/timers.ts'
import type { PublishedCommit } from '../src/engines/redis/commit-feed.ts'
import { RedisConnection } from '../src/engines/redis/connection.ts'
import { lineKeys, maxInlineBytes } from '../src/engines/redis/layout.ts'
import { decodePublished } from '../src/engines/redis/published.ts'
import { needing } from './support/needs.ts'
import { type Random, random, seedOfRun } from './support/random.ts'
import { type RedisServer, startRedis } from './support/redis-cluster.ts'
import { openTestRedis } from './support/redis-engine.ts'

/**
 * Groups of puts alone have a script of their own. It must leave in Redis, return and publish exactly what the script
 * for any commits does, which a condition that always holds makes the engine take.
 */

const { test, beforeAll, afterAll } = needing('redis')

let server: RedisServer & { stop(): Promise<void> }
beforeAll(async () => {
  server = await startRedis({ config: { appendfsync: 'no' } })
})
afterAll(() => server?.stop())

interface Store {
  readonly prefix: string
  readonly engine: Engine
  /** What the groups published, without the name of the server. */
  readonly published: PublishedCommit[]
  /** Resolves when all of it is there. */
  ping(): Promise<unknown>
  close(): Promise<void>
}

async function openStore(prefix: string): Promise<Store> {
  const published: PublishedCommit[] = []
  const { channel } = lineKeys(prefix, 1)[0]!
  const { promise: isSubscribed, resolve } = Promise.withResolvers<unknown>()
  const subscriber = new RedisConnection({
    ...{ address: server, user: null, password: null, tls: null, timeoutMs: 5000, timers: realTimers },
    onPush([, , payload]) {
      const { before, after, changes } = decodePublished(payload as Buffer)
      published.push({ before, after, changes: changes() })
    },
    onClosed() {},
  })
  subscriber.send({ command: ['SSUBSCRIBE', channel], isSubscription: true, replied: resolve, lost: resolve })
  await isSubscribed
  // The reply comes after everything that was published before.
  const ping = () =>
    new Promise((resolve) => subscriber.send({ command: ['PING'], replied: resolve, lost: resolve }))
  const engine = await openTestRedis([server], { prefix, lines: 1, onCommit() {} })
  async function close() {
    subscriber.cut('the test ends')
    await engine.close()
  }
  return { prefix, engine, published, ping, close }
}

const keys = Array.from({ length: 12 }, (_, i) => `k${i}`)
const collections = ['c', 'with.dots', 'c2']
const values = ['1', '"text"', '"é€😀"', `"${'x'.repeat(maxInlineBytes - 2)}"`, new Uint8Array([0, 10, 255])]
const largeValues = [`"${'x'.repeat(maxInlineBytes - 1)}"`, new Uint8Array(70_000)]
const types = ['application/json', 'application/octet-stream', 'text/plain; charset=utf-8']

function anyPut(choices: Random, nowMs: number): Write {
  const value = choices.oneIn(15) ? choices.pick(largeValues) : choices.pick(values)
  const expiresAtMs = choices.oneIn(3) ? nowMs - 30 + choices.int(60) : null
  const about = { contentType: choices.pick(types), flags: choices.int(2 ** 32), expiresAtMs }
  const origin = { clock: nowMs * 2048 + choices.int(100_000), node: 'another', createdAtMs: nowMs - 5 }
  return { op: 'put', ...anyRef(choices), value, ...about, ...(choices.oneIn(10) ? { origin } : {}) }
}

function anyRef(choices: Random) {
  return { collection: choices.pick(collections), key: choices.pick(keys) }
}

function anyWrite(choices: Random, nowMs: number, results: readonly CommitResult[]): Write | Renew {
  if (choices.oneIn(8)) return { op: 'delete', ...anyRef(choices), cause: 'delete' }
  const last = results.at(-1)
  if (choices.oneIn(12) && last?.ok === true) {
    const expiresAtMs = nowMs + choices.int(40)
    return { op: 'renew', ...anyRef(choices), expiresAtMs, ifRevision: last.written[0]!.revision }
  }
  return anyPut(choices, nowMs)
}

function withoutNodes(results: readonly CommitResult[]): unknown {
  return JSON.parse(JSON.stringify(results), (name, value) => (name === 'node' ? null : value))
}

/** All that a store has in Redis, apart from the results of groups. */
async function contentOf({ prefix }: Store): Promise<unknown> {
  const [line] = lineKeys(prefix, 1)
  const { head, records, values, sizes, order, members, tombstones, expiries } = line!
  const hash = async (key: string) => {
    const flat = (await server.command('HGETALL', key)) as readonly Buffer[]
    const pairs = Array.from({ length: flat.length / 2 }, (_, i) => {
      return [flat[2 * i]!.toString('latin1'), flat[2 * i + 1]!.toString('latin1')] as const
    })
    return new Map(pairs.toSorted(([a], [b]) => (a < b ? -1 : 1)))
  }
  const sorted = async (key: string) => String(await server.command('ZRANGE', key, 0, -1, 'WITHSCORES'))
  const { rev, clock } = Object.fromEntries(await hash(head))
  return {
    rev,
    // It is stored where it is larger than the revision.
    clock: Math.max(Number(rev), Number(clock ?? 0)),
    hashes: await Promise.all([records, values, sizes].map(hash)),
    sets: await Promise.all([order, members, tombstones, expiries].map(sorted)),
  }
}

test('the script for puts alone does what the one for any commits does', async () => {
  const choices = random(seedOfRun())
  const [short, general] = [await openStore('short'), await openStore('general')]
  const always = { collection: 'c', key: 'never', revision: null }
  let nowMs = Date.now() - 1000
  const results: CommitResult[] = []
  for (let round = 0; round < 150; round++) {
    nowMs += choices.int(20)
    const size = choices.oneIn(3) ? 3 : 1
    const group = Array.from({ length: 1 + choices.int(4) }, (): Commit => {
      const writes = Array.from({ length: size }, () =>
        // Most groups are puts alone.
        round % 3 === 0 ? anyWrite(choices, nowMs, results) : anyPut(choices, nowMs),
      )
      return { checks: [], writes, nowMs }
    })
    const [first, second] = await Promise.all([
      Promise.all(group.map((commit) => short.engine.commit(commit))),
      Promise.all(group.map((commit) => general.engine.commit({ ...commit, checks: [always] }))),
    ])
    // The ids of the stores' nodes differ.
    expect(withoutNodes(second)).toEqual(withoutNodes(first))
    results.push(...first)
    if (round % 10 === 9) expect(await contentOf(general)).toEqual(await contentOf(short))
  }
  await Promise.all([short.ping(), general.ping()])
  expect(short.published.length).toBeGreaterThan(120)
  expect(general.published).toEqual(short.published)
  await Promise.all([short.close(), general.close()])
})

test('more than a thousand puts are one commit all the same', async () => {
  const { engine, close } = await openStore('many')
  const writes = Array.from({ length: 1001 }, (_, i): Write => {
    const about = { contentType: 'application/json', flags: 0, expiresAtMs: null }
    return { op: 'put', collection: 'c', key: `k${i}`, value: `${i}`, ...about }
  })
  const result = await engine.commit({ checks: [], writes, nowMs: Date.now() })
  expect(result).toMatchObject({ ok: true })
  expect(await engine.collections()).toMatchObject([{ name: 'c', members: 1001 }])
  expect(await engine.read('c', 'k1000')).toMatchObject({ value: '1000' })
  await close()
})
