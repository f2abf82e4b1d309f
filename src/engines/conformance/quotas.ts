import { expect } from 'bun:test'
import type { Commit, CommitResult, Renew, Write } from '../../core/engine.ts'
import type { Quota, QuotaLimits } from '../../core/quota.ts'
import {
  changesAfter,
  check,
  collection,
  noonMs,
  put,
  read,
  remove,
  renew,
  type Store,
  type Suite,
  scanAll,
  write,
  writtenOf,
} from './store.ts'

/** Commits within quotas, and those that would pass one. */
export function quotaPromises(suite: Suite): void {
  countPromises(suite)
  bytePromises(suite)
  valuePromises(suite)
  apartPromises(suite)
  if (suite.differences.commitSpans !== 'line') {
    togetherPromises(suite)
    concurrencyPromises(suite)
  }
  if (suite.differences.commitSpans === 'store') severalCollections(suite)
}

const noLimits: Quota = { collection, maxMembers: null, maxBytes: null, maxValueBytes: null }

function quota(limits: Partial<Quota>): readonly Quota[] {
  return [{ ...noLimits, ...limits }]
}

function within(
  { engine }: Store,
  quotas: readonly Quota[],
  writes: readonly (Write | Renew)[],
  options: Partial<Commit> = {},
): Promise<CommitResult> {
  return engine.commit({ checks: [], writes, nowMs: noonMs, quotas, ...options })
}

function refused(
  limitName: keyof QuotaLimits,
  limit: number,
  used: number,
  needed: number,
  key: string | null = null,
) {
  return { ok: false, exceeded: { collection, key, limitName, limit, used, needed } } as const
}

async function sizeOf({ engine }: Store, name = collection) {
  const { members = 0, bytes = 0 } = (await engine.collections()).find((one) => one.name === name) ?? {}
  return { members, bytes }
}

function countPromises({ storeTest, phaseTest }: Suite): void {
  phaseTest(
    'a quota of members keeps new ones out, and neither overwrites nor deletes',
    [(store) => write(store, put('a'), put('b'), put('c')), (store) => write(store, remove('c'))],
    async (store) => {
      const two = quota({ maxMembers: 2 })
      const feed = await changesAfter(store)
      const reported = store.reported.length
      expect(await within(store, two, [put('new')])).toEqual(refused('maxMembers', 2, 2, 3))
      expect(await read(store, 'new')).toBeNull()
      expect(await changesAfter(store)).toEqual(feed)
      expect(store.reported).toHaveLength(reported)
      expect(await within(store, two, [put('a', '"longer"')])).toMatchObject({ ok: true })
      expect(await within(store, two, [remove('b')])).toMatchObject({ ok: true })
      expect(await within(store, two, [put('new')])).toMatchObject({ ok: true })
      expect(await within(store, two, [put('b')])).toEqual(refused('maxMembers', 2, 2, 3))
      expect(await sizeOf(store)).toEqual({ members: 2, bytes: 1 + 8 + 3 + 1 })
    },
  )

  storeTest('an expired member counts until it is deleted, and may be written over', async (store) => {
    const one = quota({ maxMembers: 1 })
    await write(store, put('a', '1', { expiresAtMs: noonMs - 1 }))
    expect(await within(store, one, [put('b')])).toEqual(refused('maxMembers', 1, 1, 2))
    expect(await within(store, one, [put('a', '2')])).toMatchObject({
      ok: true,
      written: [{ existed: false }],
    })
    const { revision } = (await read(store, 'a'))!
    expect(await within(store, one, [remove('a', { cause: 'expire', ifRevision: revision })])).toMatchObject({
      ok: true,
    })
    expect(await within(store, one, [put('b')])).toMatchObject({ ok: true })
  })

  phaseTest(
    'above a quota that was lowered, everything is done that does not grow',
    [(store) => write(store, put('a', '"long"'), put('b', '"long"'), put('c', '"long"'))],
    async (store) => {
      const low = quota({ maxMembers: 1, maxBytes: 10 })
      const { revision } = (await read(store, 'c'))!
      for (const fine of [put('a', '"gone"'), put('a', '"x"'), renew('c', revision, noonMs + 9), remove('b')])
        expect(await within(store, low, [fine])).toMatchObject({ ok: true })
      expect(await sizeOf(store)).toEqual({ members: 2, bytes: 11 })
      expect(await within(store, low, [put('a', '"xy"')])).toEqual(refused('maxBytes', 10, 11, 12))
      expect(await within(store, low, [put('d')])).toEqual(refused('maxMembers', 1, 2, 3))
    },
  )
}

function bytePromises({ phaseTest }: Suite): void {
  phaseTest(
    'a quota of bytes counts those of keys and values as they are in UTF-8',
    [(store) => write(store, put('é', '"日"'), put('b', new Uint8Array(10)))],
    async (store) => {
      expect(await sizeOf(store)).toEqual({ members: 2, bytes: 2 + 5 + 1 + 10 })
      const twenty = quota({ maxBytes: 20 })
      expect(await within(store, twenty, [put('日')])).toEqual(refused('maxBytes', 20, 18, 22))
      expect(await within(store, twenty, [put('b', new Uint8Array(13))])).toEqual(
        refused('maxBytes', 20, 18, 21),
      )
      expect(await within(store, twenty, [put('b', new Uint8Array(12))])).toMatchObject({ ok: true })
      expect(await within(store, twenty, [put('b', new Uint8Array(11))])).toMatchObject({ ok: true })
      expect(await within(store, twenty, [put('c', '')])).toMatchObject({ ok: true })
      expect(await within(store, twenty, [put('d', '')])).toEqual(refused('maxBytes', 20, 20, 21))
    },
  )
}

function valuePromises({ phaseTest }: Suite): void {
  phaseTest(
    'a quota of the bytes of a value counts no key, and lets a longer one from before shrink',
    [(store) => write(store, put('long', '"123456"'), put('k', '"é"'))],
    async (store) => {
      const five = quota({ maxValueBytes: 5 })
      const tooLong = (used: number, needed: number, key: string) =>
        refused('maxValueBytes', 5, used, needed, key)
      expect(await within(store, five, [put('new', '123456')])).toEqual(tooLong(0, 6, 'new'))
      expect(await within(store, five, [put('new', '12345')])).toMatchObject({ ok: true })
      expect(await within(store, five, [put('k', '"éé"')])).toEqual(tooLong(4, 6, 'k'))
      expect(await within(store, five, [put('long', '"1234567"')])).toEqual(tooLong(8, 9, 'long'))
      expect(await within(store, five, [put('long', '"654321"')])).toMatchObject({ ok: true })
      expect(await within(store, five, [put('long', '"1234"')])).toMatchObject({ ok: true })
      expect(await within(store, five, [put('long', '"12345"')])).toEqual(tooLong(6, 7, 'long'))
      expect(await within(store, five, [put('long', '"123"')])).toMatchObject({ ok: true })
      expect(await within(store, five, [put('long', '123456')])).toEqual(tooLong(5, 6, 'long'))
    },
  )
}

function apartPromises({ storeTest, differences }: Suite): void {
  storeTest('with `apart` a quota refuses each write by itself', async (store) => {
    await write(store, put('a', '1'))
    const limits = quota({ maxMembers: 3, maxValueBytes: 4 })
    const writes = [put('b'), put('b', '"long"'), put('c'), put('d'), put('a', '2'), remove('c'), remove('x')]
    const result = await within(store, limits, writes, { apart: true })
    const done = writtenOf(result)
    const outcomes = done.map(({ revision, exceeded }) => exceeded?.limitName ?? revision > 0)
    const all: typeof outcomes = [true, 'maxValueBytes', true, 'maxMembers', true, true, false]
    // Lines have no order between them.
    if (differences.commitSpans !== 'line') expect(outcomes).toEqual(all)
    expect(done[1]).toEqual({
      revision: 0,
      createdAtMs: 0,
      clock: 0,
      existed: false,
      exceeded: { collection, key: 'b', limitName: 'maxValueBytes', limit: 4, used: 1, needed: 6 },
    })
    expect(await read(store, 'b')).toMatchObject({ value: '1' })
    expect((await sizeOf(store)).members).toBeLessThanOrEqual(3)
  })
}

/** Of a collection on one line. Of one on several, an engine may know only of earlier commits. */
function concurrencyPromises({ storeTest }: Suite): void {
  storeTest('of many puts at once exactly as many are done as the quota allows', async (store) => {
    const ten = quota({ maxMembers: 10 })
    const puts = Array.from({ length: 60 }, (_, i) => put(`k${i}`))
    const results = await Promise.all(puts.map((one) => within(store, ten, [one])))
    const failed = results.filter(({ ok }) => !ok)
    expect(results.slice(0, 10).every(({ ok }) => ok)).toBe(true)
    expect(failed).toEqual(Array(50).fill(refused('maxMembers', 10, 10, 11)))
    expect((await scanAll(store)).map(({ key }) => key)).toHaveLength(10)
    expect(await sizeOf(store)).toMatchObject({ members: 10 })
    expect(store.engine.stats().failedChecks).toBe(0)
  })

  storeTest('a commit sees the sizes that those ahead of it in the queue leave', async (store) => {
    const one = quota({ maxMembers: 1 })
    const results = await Promise.all([
      within(store, [], [put('a')]),
      within(store, one, [put('b')]),
      within(store, [], [remove('a')]),
      within(store, one, [put('b')]),
      within(store, one, [put('b', '2')]),
      within(store, one, [put('c')]),
    ])
    expect(results.map(({ ok }) => ok)).toEqual([true, false, true, true, true, false])
    expect(await read(store, 'b')).toMatchObject({ value: '2' })
  })

  storeTest('of many that grow at once no more are done than there are bytes for', async (store) => {
    const keys = Array.from({ length: 20 }, (_, i) => `k${i + 10}`)
    await write(store, ...keys.map((key) => put(key)))
    const results = await Promise.all(
      keys.flatMap((key) => [
        within(store, quota({ maxBytes: 100 }), [put(key, '"1234"')]),
        within(store, quota({ maxBytes: 100 }), [put(key, '12')]),
      ]),
    )
    // Of 80 bytes: 5 more each, and 4 less again where that was done.
    expect(results.filter(({ ok }) => ok).length).toBeGreaterThan(20)
    const { bytes } = await sizeOf(store)
    expect(bytes).toBeLessThanOrEqual(100)
    const members = await scanAll(store)
    expect(bytes).toBe(members.reduce((sum, { key, value }) => sum + key.length + value.length, 0))
    expect(results.some(({ ok }) => !ok)).toBe(bytes === 100)
  })

  storeTest('with `apart` exactly as many of many are done as the quota allows', async (store) => {
    const groups = Array.from({ length: 4 }, (_, g) => Array.from({ length: 25 }, (_, i) => put(`${g}-${i}`)))
    const results = await Promise.all(
      groups.map((some) => within(store, quota({ maxMembers: 30 }), some, { apart: true })),
    )
    const done = results.flatMap((result) => writtenOf(result))
    expect(done.filter(({ exceeded }) => exceeded === undefined)).toHaveLength(30)
    expect(done.filter(({ revision }) => revision > 0)).toHaveLength(30)
    expect(await sizeOf(store)).toMatchObject({ members: 30 })
    expect(await scanAll(store)).toHaveLength(30)
  })
}

function togetherPromises({ phaseTest, storeTest }: Suite): void {
  phaseTest(
    'a commit of several writes counts what they come to together, and is done whole or not at all',
    [(store) => write(store, put('a'), put('b'))],
    async (store) => {
      const feed = await changesAfter(store)
      const three = quota({ maxMembers: 3, maxBytes: 8 })
      expect(await within(store, three, [put('a', '2'), put('c'), put('d'), remove('x')])).toEqual(
        refused('maxMembers', 3, 2, 4),
      )
      expect(await within(store, three, [put('c', '"123"')])).toEqual(refused('maxBytes', 8, 4, 10))
      expect(await changesAfter(store)).toEqual(feed)
      expect(await sizeOf(store)).toEqual({ members: 2, bytes: 4 })
      const swapped = await within(store, three, [put('c'), put('d'), put('e'), remove('a'), remove('e')])
      const revisions = writtenOf(swapped).map(({ revision }) => revision)
      expect(revisions.map((one) => one - revisions[0]!)).toEqual([0, 1, 2, 3, 4])
      expect((await scanAll(store)).map(({ key }) => key)).toEqual(['b', 'c', 'd'])
      const again = [put('c'), remove('c'), put('c'), put('c', '22')]
      expect(await within(store, three, again)).toMatchObject({ ok: true })
      expect(await sizeOf(store)).toEqual({ members: 3, bytes: 7 })
    },
  )

  storeTest('a failed check goes before an exceeded quota', async (store) => {
    await write(store, put('a'))
    const full = quota({ maxMembers: 1 })
    expect(await within(store, full, [put('b')], { checks: [check('a', null)] })).toHaveProperty('failed')
    expect(await within(store, full, [put('b')], { checks: [check('b', null)] })).toHaveProperty('exceeded')
    expect(await within(store, full, [put('a', '2')], { checks: [check('b', null)] })).toMatchObject({
      ok: true,
    })
  })

  storeTest('commits that are refused leave no trace in those staged with them', async (store) => {
    await write(store, put('a', '1'))
    const two = quota({ maxMembers: 2 })
    const results = await Promise.all([
      within(store, two, [put('a', '2'), put('b'), put('c')]),
      within(store, [], [put('a', '3')], { checks: [check('b', null)] }),
      within(store, two, [put('b', '4')]),
      within(store, two, [remove('a'), put('c'), put('d')]),
      within(store, two, [remove('a'), put('c', '5')]),
    ])
    expect(results.map(({ ok }) => ok)).toEqual([false, true, true, false, true])
    expect((await scanAll(store)).map(({ key, value }) => `${key} ${value}`)).toEqual(['b 4', 'c 5'])
    expect(await sizeOf(store)).toEqual({ members: 2, bytes: 4 })
    await store.reopen()
    expect((await scanAll(store)).map(({ key, value }) => `${key} ${value}`)).toEqual(['b 4', 'c 5'])
    expect(await sizeOf(store)).toEqual({ members: 2, bytes: 4 })
  })
}

function severalCollections({ storeTest }: Suite): void {
  storeTest('a quota is of its own collection, and refuses the whole commit', async (store) => {
    const other = { collection: 'other' }
    const quotas = [...quota({ maxMembers: 1 }), { ...noLimits, ...other, maxMembers: 2 }]
    expect(await within(store, quotas, [put('a'), put('a', '1', other), put('b', '1', other)])).toMatchObject(
      {
        ok: true,
      },
    )
    expect(await within(store, quotas, [put('a', '2'), put('c', '1', other)])).toMatchObject({
      ok: false,
      exceeded: { collection: 'other', limit: 2, used: 2, needed: 3 },
    })
    expect(await read(store, 'a')).toMatchObject({ value: '1' })
    expect(await within(store, quotas, [put('a', '1', { collection: 'third' })])).toMatchObject({ ok: true })
  })
}
