import { expect } from 'bun:test'
import type { Engine } from '../src/core/engine.ts'
import { StaleView } from '../src/core/stale-view.ts'
import { lineKeys } from '../src/engines/redis/layout.ts'
import { needing } from './support/needs.ts'
import { type RedisServer, startRedis } from './support/redis-cluster.ts'
import { openTestRedis } from './support/redis-engine.ts'

/** What the lines of a store in Redis know of indexes, and refuse because of it. */

const { test, beforeAll, afterAll } = needing('redis')

let redis: RedisServer & { stop(): Promise<void> }
let engine: Engine
const prefix = 'lines'
const lines = 2
beforeAll(async () => {
  redis = await startRedis({ config: { appendfsync: 'no' } })
  engine = await openTestRedis([redis], { prefix, lines, onCommit() {} })
})
afterAll(async () => {
  await engine?.close()
  await redis?.stop()
})

const keys = ['a', 'b', 'c', 'd', 'e', 'f']

function put(key: string) {
  const content = { value: '1', contentType: 'application/json', flags: 0, expiresAtMs: null }
  return { op: 'put', collection: 'c', key, ...content } as const
}

function commit(view: number, ...some: string[]) {
  const one = { checks: [], writes: some.map(put), nowMs: Date.now(), apart: true } as const
  return engine.commit(view === 0 ? one : { ...one, view })
}

/** Returns why something was refused. */
async function refusal(doing: unknown): Promise<StaleView> {
  const error = await Promise.resolve(doing).then(
    () => null,
    (one: unknown) => one,
  )
  expect(error).toBeInstanceOf(StaleView)
  return error as StaleView
}

function scan(view: number, generation: number) {
  const guard = { id: 'i', of: 'c', view, generation }
  const range = {
    collection: '_index-i',
    from: null,
    to: null,
    order: 'asc',
    limit: 10,
    keysOnly: false,
  } as const
  return engine.scan({ ...range, guard })
}

test('a line refuses what knows less of the indexes than any before it', async () => {
  const { beginIndex, finishIndex, forgetIndex } = engine.shared!
  const life = { id: 'i', generation: 5 }
  expect(await commit(0, ...keys)).toMatchObject({ ok: true })
  await beginIndex(life, 5)
  for (const view of [0, 4]) expect((await refusal(commit(view, ...keys))).view).toBe(5)
  expect(await commit(5, ...keys)).toMatchObject({ ok: true })
  expect((await refusal(scan(5, 5))).lost).toMatchObject(life)
  expect((await refusal(beginIndex(life, 4))).view).toBe(5)

  // One line hears of 7: of a commit apart, the others are done.
  await commit(7, 'a')
  const { done, view } = await refusal(commit(6, ...keys))
  expect(view).toBe(7)
  const left = keys.filter((_, i) => !done.has(i))
  expect(left).toContain('a')
  expect(left.length).toBeLessThan(keys.length)
  const revisions = await engine.readMany(keys.map((key) => ({ collection: 'c', key })))
  for (const [i, { revision }] of done) expect(revisions[i]!.revision).toBe(revision)

  expect((await refusal(finishIndex(life, 6))).view).toBe(7)
  expect(await finishIndex({ ...life, generation: 6 }, 7)).toBe(false)
  expect(await finishIndex(life, 7)).toBe(true)
  expect(await scan(7, 5)).toMatchObject({ members: [] })
  expect(await refusal(scan(6, 5))).toMatchObject({ view: 7, lost: null })
  expect((await refusal(scan(7, 6))).lost).toMatchObject({ id: 'i', generation: 6 })
  await forgetIndex('i')
  expect((await refusal(scan(7, 5))).lost).toMatchObject(life)
})

test('a delete of an entry whose line is not known is done on the one that has it', async () => {
  const near = keys.map((key) => ({ collection: 'c', key }))
  const entries = near.map((at, i) => ({ ...put(`e${i}`), collection: '_index-e', near: at }))
  const view = 10
  const result = await engine.commit({ checks: [], writes: entries, nowMs: Date.now(), apart: true, view })
  if (!result.ok) throw new Error('not written')
  const deletes = result.written.map(({ revision }, i) => {
    const what = { op: 'delete', collection: '_index-e', key: `e${i}`, cause: 'delete' } as const
    return { ...what, ifRevision: i === 0 ? revision - 1 : revision, anywhere: true } as const
  })
  const deleted = await engine.commit({ checks: [], writes: deletes, nowMs: Date.now(), apart: true, view })
  expect(deleted.ok && deleted.written.map(({ revision }) => revision > 0)).toEqual([
    false,
    ...keys.slice(1).map(() => true),
  ])
  const range = {
    collection: '_index-e',
    from: null,
    to: null,
    order: 'asc',
    limit: 10,
    keysOnly: true,
  } as const
  expect((await engine.scan(range)).members.map(({ key }) => key)).toEqual(['e0'])
})

test('a build that another server of the line may have lost entries of is not finished', async () => {
  const { beginIndex, finishIndex } = engine.shared!
  const life = { id: 'g', generation: 20 }
  await beginIndex(life, 20)
  const { head } = lineKeys(prefix, lines)[1]!
  // As when this server was no primary for a while, and is again.
  const gap = Buffer.alloc(16, 1)
  await redis.command('HSET', head, 'gaps', gap)
  expect(await finishIndex(life, 20)).toBe(false)
  await beginIndex(life, 20)
  expect(await finishIndex(life, 20)).toBe(true)
})
