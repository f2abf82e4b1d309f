import { afterEach, expect, test } from 'bun:test'
import { manualTimers } from '../../test/support/manual-timers.ts'
import { openTestEngine } from '../../test/support/test-engine.ts'
import { type Database, openDatabase } from './database.ts'
import { type ForeignVersion, type NodeResponse, type OtherNodes, withLookup } from './lookup.ts'
import type { Member } from './member.ts'

/** The store of a node that looks up, with other nodes that say what the test lets them say. */

const opened: Database[] = []
afterEach(async () => {
  for (const db of opened.splice(0)) await db.close()
})

const nowMs = Date.UTC(2026, 5, 1)
const clock = nowMs * 2048

async function looking(ask: OtherNodes['ask']) {
  const onError = (error: unknown) => {
    throw error
  }
  const options = { cacheBytes: 1 << 20, now: () => nowMs, timers: manualTimers(), onError }
  const db = await openDatabase({ ...options, open: (onCommit) => openTestEngine(onCommit) })
  opened.push(db)
  const asked: string[][] = []
  const nodes: OtherNodes = {
    ask(refs, maxValueBytes) {
      asked.push(refs.map(({ key }) => key))
      return ask(refs, maxValueBytes)
    },
    askOne: async () => ({ url: 'http://a', failure: 'not asked' }),
    sendDelete: async () => [],
    count() {},
  }
  return { db, asked, store: withLookup(db, nodes, () => nowMs) }
}

const version = (value: string, key: string): ForeignVersion => ({
  type: 'put',
  node: 'n1',
  clock,
  head: {
    key,
    createdAtMs: nowMs,
    expiresAtMs: null,
    contentType: 'application/json',
    flags: 0,
    valueBytes: value.length,
  },
  value,
})
const nothing = async (refs: readonly unknown[]): Promise<NodeResponse[]> => [
  { url: 'http://a', versions: refs.map(() => null) },
]
const json = (value: string) => ({ value, contentType: 'application/json', flags: 0, expiresAtMs: null })

test('what is here is returned at once, and nobody is asked', async () => {
  const { db, asked, store } = await looking(nothing)
  await db.put('c', 'k', json('1'))
  const expected = await db.get('c', 'k')
  const found = store.get('c', 'k')
  if (!(expected instanceof Promise) && process.env.KVIST_TEST_ENGINE !== 'late')
    expect(found).toEqual(expected)
  expect(await store.getHead('c', 'k')).toMatchObject({ valueBytes: 1 })
  expect(await store.readMany([{ collection: 'c', key: 'k' }])).toHaveLength(1)
  expect(asked).toEqual([])
})

test("kvist's own collections are not looked up", async () => {
  const { asked, store } = await looking(nothing)
  expect(await store.get('_tokens', 'k')).toBeNull()
  expect(await store.getHead('_tokens', 'k')).toBeNull()
  expect(await store.readMany([{ collection: '_settings', key: 'k' }])).toEqual([null])
  expect(await store.delete('_tokens', 'k')).toBe(0)
  expect(asked).toEqual([])
})

test('reads of one tick do not wait for a lookup of one of them', async () => {
  const { db, store } = await looking(() => new Promise(() => {}))
  await db.put('c', 'here', json('1'))
  let run = () => {}
  const queue = store.readQueue((work) => {
    run = work
  })
  const found: Record<string, number> = {}
  const given: (Member | null)[] = []
  for (const key of ['gone', 'here', 'also-gone']) {
    const ref = { collection: 'c', key }
    expect(queue.cached(ref)).toBeUndefined()
    queue.add(ref, {
      found(members, from, count) {
        found[key] = count
        if (count > 0) given.push(members[from]!)
      },
    })
  }
  run()
  for (let i = 0; i < 50 && Object.keys(found).length < 3; i++) await Bun.sleep(1)
  // A reader whose members are not all here reads the others by itself.
  expect(found).toEqual({ gone: 0, here: 1, 'also-gone': 0 })
  expect(given).toMatchObject([{ key: 'here' }])
})

test('many members are asked for together, a hundred at a time, and end where their bytes do', async () => {
  const { db, asked, store } = await looking(async (refs) => [
    {
      url: 'http://a',
      versions: refs.map(({ key }) => (key === 'none' ? null : version('"xxxxxxxx"', key))),
    },
  ])
  await db.put('c', 'here', json('1'))
  const refs = ['here', 'none', ...Array.from({ length: 150 }, (_, i) => `k${i}`)].map((key) => ({
    collection: 'c',
    key,
  }))
  const all = await store.readMany(refs)
  expect(all.map((one) => one?.key ?? null)).toEqual(refs.map(({ key }) => (key === 'none' ? null : key)))
  expect(asked.map(({ length }) => length)).toEqual([99, 52])
  const some = await store.readMany(refs, 25)
  expect(some.map((one) => one?.key ?? null)).toEqual(['here', null, 'k0', 'k1', 'k2'])
})

test('a member that came here while the others were asked is that of this node', async () => {
  const { db, store } = await looking(async (refs) => {
    await db.put('c', 'k', json('"own"'))
    return nothing(refs)
  })
  const found = await store.get('c', 'k')
  expect(found).toEqual(await db.get('c', 'k'))
})
