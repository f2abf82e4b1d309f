import { afterEach, expect, test } from 'bun:test'
import { random, seedOfRun } from '../../test/support/random.ts'
import { openTestEngine } from '../../test/support/test-engine.ts'
import { msToStamp } from './clock.ts'
import type { RangeDigest } from './comparison.ts'
import { type Database, openDatabase } from './database.ts'
import type { ForeignWrite } from './foreign-write.ts'
import { maxDigestedRange } from './limits.ts'
import { jsonContentType } from './member.ts'
import { noSettings } from './settings.ts'

const nowMs = Date.UTC(2026, 5, 1, 12)
const opened: Database[] = []
afterEach(async () => {
  for (const db of opened.splice(0)) await db.close()
})

async function store(): Promise<Database> {
  const db = await openDatabase({
    open: openTestEngine,
    cacheBytes: 1 << 20,
    now: () => nowMs,
    onError(error) {
      throw error
    },
  })
  opened.push(db)
  return db
}

interface Given {
  readonly clock?: number
  readonly node?: string
  readonly expiresAtMs?: number | null
  readonly collection?: string
}

function put(key: string, given: Given = {}): ForeignWrite {
  const { clock = 1, node = 'n1', expiresAtMs = null, collection = 'c' } = given
  const origin = { node, clock: msToStamp(nowMs) - 1000 + clock, createdAtMs: 1 }
  return {
    op: 'put',
    collection,
    key,
    value: '1',
    contentType: jsonContentType,
    flags: 0,
    expiresAtMs,
    origin,
  }
}

async function withMembers(...writes: readonly ForeignWrite[]): Promise<Database> {
  const db = await store()
  if (writes.length > 0) await db.replicate(writes)
  return db
}

const whole = { collection: 'c', from: null, to: null, atMs: nowMs }

async function digestOf(db: Database, atMs = nowMs): Promise<RangeDigest> {
  const ranges = await db.digests({ ...whole, atMs, ends: null, members: maxDigestedRange })
  expect(ranges).toHaveLength(1)
  return ranges[0]!
}

test('two nodes have the same digest exactly if they hold the same versions', async () => {
  const same = [put('a'), put('b', { expiresAtMs: nowMs + 5 }), put('é\0 1')]
  const expected = await digestOf(await withMembers(...same))
  expect(await digestOf(await withMembers(...same.toReversed()))).toEqual(expected)
  const others: readonly (readonly ForeignWrite[])[] = [
    same.slice(1),
    [...same, put('c')],
    [put('a', { clock: 2 }), ...same.slice(1)],
    [put('a', { node: 'n2' }), ...same.slice(1)],
    [same[0]!, put('b', { expiresAtMs: nowMs + 6 }), same[2]!],
    [same[0]!, put('b'), same[2]!],
    [put('A'), ...same.slice(1)],
    [],
  ]
  const digests = await Promise.all(
    others.map(async (writes) => (await digestOf(await withMembers(...writes))).digest),
  )
  expect(digests).not.toContain(expected.digest)
  expect(new Set(digests).size).toBe(others.length)
})

test('a key that looks like the end of one version and the beginning of the next makes no digest of another range', async () => {
  const origin = `${msToStamp(nowMs) - 999} n1 null`
  const one = await withMembers(put(`a${origin}\n1 b`))
  const two = await withMembers(put('a'), put('b'))
  expect((await digestOf(one)).digest).not.toBe((await digestOf(two)).digest)
})

test('what has expired is left out, swept or not, and so are tombstones and kvist’s own', async () => {
  const lives = await withMembers(put('a'))
  const unswept = await withMembers(put('a'), put('b', { expiresAtMs: nowMs + 10 }))
  expect(await digestOf(unswept, nowMs + 10)).toEqual(await digestOf(lives))
  expect(await digestOf(unswept, nowMs + 9)).not.toEqual(await digestOf(lives))
  const deleted = await withMembers(put('a'), put('x'))
  await deleted.delete('c', 'x')
  await deleted.setSettings('c', { ...noSettings, maxMembers: 9 })
  expect(await digestOf(deleted)).toEqual(await digestOf(lives))
  expect((await deleted.comparedCollections()).map(({ name }) => name).toSorted()).toEqual(['_settings', 'c'])
})

test('this node has its id in a digest, whoever computes it', async () => {
  const writer = await store()
  await writer.put('c', 'k', { value: '1', contentType: jsonContentType, flags: 0, expiresAtMs: null })
  const { clock } = (await writer.get('c', 'k'))!
  const origin = { node: writer.nodeId, clock, createdAtMs: nowMs }
  const copy = await withMembers({ ...put('k'), origin } as ForeignWrite)
  expect(await digestOf(copy)).toEqual(await digestOf(writer))
})

test('ranges of any size, or that end at given keys, cover all members once', async () => {
  const r = random(seedOfRun())
  const keys = [...new Set(Array.from({ length: 3000 }, () => `k${r.int(100_000)}`))]
  const db = await withMembers(...keys.map((key) => put(key)))
  for (const members of [1, 7, 999, 1000, 1001, 5000]) {
    const ranges: RangeDigest[] = []
    let from: string | null = null
    do {
      ranges.push(...(await db.digests({ ...whole, from, ends: null, members })))
      from = ranges.at(-1)!.to
    } while (from !== null)
    expect(ranges.reduce((sum, range) => sum + range.members, 0)).toBe(keys.length)
    expect(ranges.slice(0, -1).every((range) => range.members === members)).toBe(true)
    const ends = ranges.slice(0, 200).map(({ to }) => to)
    expect(await db.digests({ ...whole, to: ends.at(-1)!, ends, members: 1 })).toEqual(ranges.slice(0, 200))
  }
})

test('a range with too many members has no digest, and costs no more than they', async () => {
  const db = await store()
  const keys = Array.from({ length: maxDigestedRange + 2000 }, (_, i) => `k${String(i).padStart(6, '0')}`)
  for (let i = 0; i < keys.length; i += 1000)
    await db.replicate(keys.slice(i, i + 1000).map((key) => put(key)))
  const [all, last] = await db.digests({ ...whole, to: null, ends: ['k018383', null], members: 1 })
  expect(all).toMatchObject({ to: 'k018383', digest: null })
  expect(last).toMatchObject({ to: null, members: 1 })
})

test('versions come by page, and states with their tombstones', async () => {
  const db = await withMembers(
    put('a'),
    put('b', { expiresAtMs: nowMs - 1 }),
    put('c'),
    put('d', { expiresAtMs: nowMs + 1 }),
  )
  await db.replicate([
    {
      op: 'delete',
      cause: 'delete',
      collection: 'c',
      key: 'c',
      origin: { node: 'n2', clock: msToStamp(nowMs) },
    },
  ])
  const clock = msToStamp(nowMs) - 999
  const first = await db.versions({ ...whole, limit: 1 })
  expect(first).toMatchObject({ versions: [{ key: 'a', clock, node: 'n1', expiresAtMs: null }] })
  const rest = await db.versions({ ...whole, from: first.next, limit: 10 })
  expect(rest).toEqual({ versions: [{ key: 'd', clock, node: 'n1', expiresAtMs: nowMs + 1 }], next: null })
  const refs = ['a', 'b', 'c', 'd', 'never'].map((key) => ({ collection: 'c', key }))
  expect(await db.states(refs, nowMs + 1)).toEqual({
    states: [
      { type: 'put', clock, node: 'n1', expiresAtMs: null },
      { type: 'expire', clock, node: 'n1' },
      { type: 'delete', clock: msToStamp(nowMs), node: 'n2' },
      { type: 'expire', clock, node: 'n1' },
      { type: 'none' },
    ],
    forgottenClock: 0,
  })
  expect((await db.latestChange(refs[0]!))?.type).toBe('put')
  expect((await db.latestChange(refs[1]!))?.type).toBe('expire')
  expect((await db.latestChange(refs[2]!))?.type).toBe('delete')
  expect(await db.latestChange(refs[4]!)).toBeNull()
})
