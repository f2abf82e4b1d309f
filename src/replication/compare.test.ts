import { afterEach, expect, test } from 'bun:test'
import { type ComparedStore, compared, comparedStore, synced } from '../../test/support/compared-store.ts'
import { type Random, random, seedOfRun } from '../../test/support/random.ts'
import { msToStamp } from '../core/clock.ts'
import type { MemberState } from '../core/comparison.ts'
import { noSettings } from '../core/settings.ts'
import type { ComparedNode } from './compared-node.ts'

const noonMs = Date.UTC(2026, 5, 1, 12)
const dayMs = 24 * 3_600_000
const opened: ComparedStore[] = []
afterEach(async () => {
  for (const { db } of opened.splice(0)) await db.close()
})

const clock = { nowMs: noonMs }

async function stores(count: number): Promise<ComparedStore[]> {
  clock.nowMs = noonMs
  const made = await Promise.all(Array.from({ length: count }, () => comparedStore(() => clock.nowMs)))
  opened.push(...made)
  return made
}

const json = (value: unknown, expiresAtMs: number | null = null) => ({
  value: JSON.stringify(value),
  contentType: 'application/json',
  flags: 0,
  expiresAtMs,
})

/** Gives one store what another has of a member. */
async function send(from: ComparedStore, to: ComparedStore, key: string, collection = 'c'): Promise<void> {
  const lines: string[] = []
  for await (const line of from.node.entries([{ collection, key }])) lines.push(line)
  await to.node.apply(lines, from.db.nodeId)
}

async function stateOf({ db }: ComparedStore, key: string, collection = 'c'): Promise<MemberState> {
  return (await db.states([{ collection, key }], clock.nowMs)).states[0]!
}

async function membersOf({ db }: ComparedStore): Promise<unknown[]> {
  const members: unknown[] = []
  for (const { name } of await db.collections()) {
    const page = await db.versions({
      collection: name,
      from: null,
      to: null,
      atMs: clock.nowMs,
      limit: 100_000,
    })
    for (const version of page.versions)
      members.push([name, version, String((await db.get(name, version.key))!.value)])
  }
  return members
}

const keysOf = (found: readonly { readonly collection: string; readonly key: string }[]) =>
  found.map(({ collection, key }) => `${collection}/${key}`).toSorted()

test('collections, keys and settings that differ are named, whichever side lacks them', async () => {
  const [a, b] = (await stores(2)) as [ComparedStore, ComparedStore]
  for (const key of ['same', 'newer on b', 'deleted on b']) {
    await a.db.put('c', key, json(1))
    await send(a, b, key)
  }
  expect(await compared(a.node, b.node)).toEqual([])
  clock.nowMs++
  await b.db.put('c', 'newer on b', json(2))
  await b.db.delete('c', 'deleted on b')
  await a.db.put('c', 'only a', json(1))
  await b.db.put('of b', 'k', json(1))
  await a.db.setSettings('c', { ...noSettings, maxMembers: 9 })
  const found = await compared(a.node, b.node)
  const kinds = Object.fromEntries(
    found.map((one) => [
      `${one.collection}/${one.key}`,
      one.settlement.kind === 'copy' && one.settlement.from,
    ]),
  )
  expect(kinds).toEqual({
    '_settings/c': 'a',
    'c/newer on b': 'b',
    'c/deleted on b': 'b',
    'c/only a': 'a',
    'of b/k': 'b',
  })
  expect(await synced(a.node, b.node)).toEqual({
    toA: 3,
    toB: 2,
    removed: 0,
    undecided: 0,
    refused: 0,
    detail: null,
  })
  expect(await compared(a.node, b.node)).toEqual([])
  expect(await membersOf(a)).toEqual(await membersOf(b))
  expect(b.db.settings('c').maxMembers).toBe(9)
})

test('what the operator leaves out is not compared', async () => {
  const [a, b] = (await stores(2)) as [ComparedStore, ComparedStore]
  for (const [collection, key] of [
    ['c', 'a1'],
    ['c', 'b1'],
    ['d', 'a1'],
  ] as const)
    await a.db.put(collection, key, json(1))
  for (const collection of ['c', 'd']) await a.db.setSettings(collection, { ...noSettings, maxMembers: 9 })
  const isCompared = (collection: string, key: string | null) =>
    collection === 'c' || (collection === '_settings' && (key === null || key === 'c'))
  expect(keysOf(await compared(a.node, b.node, { isCompared }))).toEqual(['_settings/c', 'c/a1', 'c/b1'])
  expect(keysOf(await compared(a.node, b.node, { isCompared: (one) => one === 'c', prefix: 'a' }))).toEqual([
    'c/a1',
  ])
})

test('one member among many is found with little transfer, wherever it is', async () => {
  const [a, b] = (await stores(2)) as [ComparedStore, ComparedStore]
  const key = (i: number) => `k${String(i).padStart(6, '0')}`
  for (let i = 0; i < 10_000; i += 500) {
    const lines = Array.from({ length: 500 }, (_, n) => {
      const origin = `"origin":{"node":"n1","clock":${msToStamp(noonMs) + n}}`
      return `{"op":"put","collection":"c","key":"${key(i + n)}",${origin},"created_at":"2026-01-01T00:00:00Z","expires_at":null,"value":1}`
    })
    for (const { node } of [a, b]) await node.apply(lines, 'n1')
  }
  clock.nowMs++
  for (const at of [0, 4095, 4096, 7777, 9999]) {
    const one = await b.db.put('c', key(at), json(at))
    expect(one.existed).toBe(true)
    const listed = { versions: 0, requests: 0 }
    const counting: ComparedNode = {
      ...a.node,
      async versions(query) {
        const page = await a.node.versions(query)
        listed.versions += page.versions.length
        listed.requests++
        return page
      },
    }
    expect(keysOf(await compared(counting, b.node))).toEqual([`c/${key(at)}`])
    expect(listed.versions).toBeLessThanOrEqual(64)
    expect(listed.requests).toBe(1)
    await send(b, a, key(at))
  }
  // Whatever is on one side only.
  await b.db.delete('c', key(5000))
  await b.db.put('c', 'zzz', json(1))
  expect(keysOf(await compared(a.node, b.node))).toEqual([`c/${key(5000)}`, 'c/zzz'])
})

test('what is written while nodes are compared is not reported once it has arrived', async () => {
  const [a, b] = (await stores(2)) as [ComparedStore, ComparedStore]
  await a.db.put('c', 'on its way', json(1))
  await a.db.put('c', 'lost', json(1))
  const waits: number[] = []
  const sleep = async (ms: number) => {
    waits.push(ms)
    await send(a, b, 'on its way')
  }
  expect(keysOf(await compared(a.node, b.node, { sleep, onItsWayMs: 2000 }))).toEqual(['c/lost'])
  expect(waits).toEqual([2000])
  // What is older is reported at once.
  clock.nowMs += 2001
  expect(keysOf(await compared(a.node, b.node, { sleep, onItsWayMs: 2000 }))).toEqual(['c/lost'])
  expect(waits).toEqual([2000])
})

test('members that have expired are no difference, whether one node has swept them or its clock is behind', async () => {
  const [a, b] = (await stores(2)) as [ComparedStore, ComparedStore]
  await a.db.put('c', 'k', json(1, noonMs + 1000))
  await send(a, b, 'k')
  clock.nowMs += 1500
  await a.db.changes({ collection: 'c', key: null, prefix: null, filter: null }, '', 10) // sweeps
  expect((await stateOf(a, 'k')).type).toBe('expire')
  const behind: ComparedNode = {
    ...b.node,
    overview: async () => ({ ...(await b.node.overview()), nowMs: noonMs }),
  }
  expect(await compared(a.node, behind)).toEqual([])
  expect(await compared(behind, a.node)).toEqual([])
})

test('a renewal on one node is a difference, and its later expiry holds', async () => {
  const [a, b] = (await stores(2)) as [ComparedStore, ComparedStore]
  await a.db.put('c', 'k', json(1, noonMs + 1000))
  await send(a, b, 'k')
  await b.db.touch({ collection: 'c', key: 'k' }, noonMs + 9000)
  expect(await synced(a.node, b.node)).toMatchObject({ toA: 1, toB: 0 })
  expect(await stateOf(a, 'k')).toMatchObject({ type: 'put', expiresAtMs: noonMs + 9000 })
  expect(await compared(a.node, b.node)).toEqual([])
})

test('a node is not compared with itself', async () => {
  const [a] = (await stores(1)) as [ComparedStore]
  await expect(compared(a.node, { ...a.node })).rejects.toThrow('are the same node')
})

/** A member that a deleted, and b still has, where a has forgotten the tombstone. */
async function forgottenDelete(): Promise<[ComparedStore, ComparedStore]> {
  const [a, b] = (await stores(2)) as [ComparedStore, ComparedStore]
  for (const key of ['deleted', 'kept']) {
    await b.db.put('c', key, json(1))
    await send(b, a, key)
  }
  clock.nowMs++
  await a.db.delete('c', 'deleted')
  clock.nowMs += 8 * dayMs
  await a.db.put('c', 'last', json(1))
  await send(a, b, 'last')
  expect(await a.engine.forget(clock.nowMs - 7 * dayMs, 10)).toBe(1)
  return [a, b]
}

test('a deleted member does not come back when its tombstone is forgotten: it is left, and the operator decides', async () => {
  const [a, b] = await forgottenDelete()
  const [found] = await compared(a.node, b.node)
  expect(found).toMatchObject({ key: 'deleted', settlement: { kind: 'undecided', on: 'b' } })
  expect(await synced(a.node, b.node)).toMatchObject({ toA: 0, toB: 0, undecided: 1 })
  expect([(await stateOf(a, 'deleted')).type, (await stateOf(b, 'deleted')).type]).toEqual(['none', 'put'])
  expect(await synced(b.node, a.node, 'remove')).toMatchObject({ removed: 1, undecided: 0 })
  // Both have the tombstone: an older version that arrives later stays away.
  expect([(await stateOf(a, 'deleted')).type, (await stateOf(b, 'deleted')).type]).toEqual([
    'delete',
    'delete',
  ])
  expect(await compared(a.node, b.node)).toEqual([])
})

test('a member that may have been deleted is kept if the operator says so', async () => {
  const [a, b] = await forgottenDelete()
  expect(await synced(a.node, b.node, 'keep')).toMatchObject({ toA: 1, undecided: 0 })
  expect(await membersOf(a)).toEqual(await membersOf(b))
})

test('a removal loses against what a client wrote meanwhile', async () => {
  const [a, b] = await forgottenDelete()
  const late: ComparedNode = {
    ...b.node,
    async apply(lines, sender) {
      await b.db.put('c', 'deleted', json('again'))
      return b.node.apply(lines, sender)
    },
  }
  await synced(a.node, late, 'remove')
  expect(await b.db.get('c', 'deleted')).toMatchObject({ value: '"again"' })
  await synced(a.node, b.node)
  expect(await a.db.get('c', 'deleted')).toMatchObject({ value: '"again"' })
})

test('what was written after everything that was forgotten is copied: it cannot have been deleted', async () => {
  const [a, b] = await forgottenDelete()
  await b.db.put('c', 'new', json(1))
  expect(await synced(a.node, b.node)).toMatchObject({ toA: 1, undecided: 1 })
  expect((await stateOf(a, 'new')).type).toBe('put')
})

/** What all nodes must agree on: of all versions ever written the last. */
type Model = Map<string, MemberState>

function note(model: Model, key: string, state: MemberState): void {
  const known = model.get(key)
  if (state.type === 'none') return
  if (known === undefined || known.type === 'none') return void model.set(key, state)
  const later = state.clock - known.clock || (state.node > known.node ? 1 : state.node < known.node ? -1 : 0)
  const lasts = (one: MemberState) => (one.type === 'put' ? (one.expiresAtMs ?? Number.POSITIVE_INFINITY) : 0)
  if (later > 0 || (later === 0 && lasts(state) > lasts(known))) model.set(key, state)
}

async function step(r: Random, all: readonly ComparedStore[], keys: readonly string[], model: Model) {
  const at = r.pick(all)
  const key = r.pick(keys)
  const kind = r.int(12)
  const expiryMs = r.oneIn(2) ? null : clock.nowMs + r.int(3000)
  if (kind < 5) await at.db.put('c', key, json(r.int(1000), expiryMs))
  else if (kind < 7) await at.db.delete('c', key)
  else if (kind < 8) await at.db.touch({ collection: 'c', key }, expiryMs ?? 'never')
  else if (kind < 11) await send(at, r.pick(all), key)
  else clock.nowMs += r.int(500)
  note(model, key, await stateOf(at, key))
}

test('stores that lost changes at random are equal after a sync, and to a model by last writer wins', async () => {
  const seed = seedOfRun()
  const r = random(seed)
  for (let round = 0; round < 20; round++) {
    const all = await stores(3)
    const keys = Array.from({ length: r.oneIn(3) ? 300 : 15 }, (_, i) => `k${i}`)
    const model: Model = new Map()
    for (let i = 0; i < 300; i++) await step(r, all, keys, model)
    const [a, b, c] = all as [ComparedStore, ComparedStore, ComparedStore]
    // A tombstone goes only where there is a member, so what b gets from c may have been deleted on a.
    for (const [one, other] of [
      [a, b],
      [b, c],
      [a, b],
      [b, c],
    ] as const)
      expect(await synced(one.node, other.node)).toMatchObject({ undecided: 0, refused: 0 })
    for (const [one, other] of [
      [a, b],
      [b, c],
      [a, c],
    ] as const)
      expect(await compared(one.node, other.node)).toEqual([])
    expect(await membersOf(a)).toEqual(await membersOf(b))
    expect(await membersOf(b)).toEqual(await membersOf(c))
    for (const key of keys) {
      const expected = model.get(key)
      const isLive =
        expected?.type === 'put' && (expected.expiresAtMs ?? Number.POSITIVE_INFINITY) > clock.nowMs
      const found = await stateOf(a, key)
      if (isLive) expect(found).toEqual(expected)
      else expect(found.type).not.toBe('put')
    }
  }
})

test('where tombstones are forgotten at random, nothing that a store deleted comes back to it', async () => {
  const r = random(seedOfRun())
  for (let round = 0; round < 20; round++) {
    const all = await stores(2)
    const [a, b] = all as [ComparedStore, ComparedStore]
    const keys = Array.from({ length: 12 }, (_, i) => `k${i}`)
    /** The largest stamp of a delete that a store ever had of a key. */
    const deletes = new Map<string, number>()
    const noteDeletes = async () => {
      for (const [i, one] of all.entries())
        for (const key of keys) {
          const state = await stateOf(one, key)
          if (state.type === 'delete')
            deletes.set(`${i}${key}`, Math.max(state.clock, deletes.get(`${i}${key}`) ?? 0))
        }
    }
    const statesOf = () => Promise.all(all.map((one) => Promise.all(keys.map((key) => stateOf(one, key)))))
    // What `step` sends from one store to the other may bring something back: a mirror that is behind does, too.
    const syncAndCheck = async () => {
      const before = await statesOf()
      await synced(a.node, b.node)
      for (const [i, states] of (await statesOf()).entries())
        for (const [at, state] of states.entries()) {
          const isNew = state.type === 'put' && !Bun.deepEquals(before[i]![at], state)
          if (isNew && state.clock < (deletes.get(`${i}${keys[at]}`) ?? 0))
            throw new Error(`${keys[at]} came back`)
        }
    }
    for (let i = 0; i < 200; i++) {
      await step(r, all, keys, new Map())
      await noteDeletes()
      if (r.oneIn(20)) await r.pick(all).engine.forget(clock.nowMs - r.int(1000), 100)
      if (r.oneIn(30)) await syncAndCheck()
    }
    await syncAndCheck()
    for (const { key, settlement } of await compared(a.node, b.node))
      expect([key, settlement.kind]).toEqual([key, 'undecided'])
  }
})
