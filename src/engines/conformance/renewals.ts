import { expect } from 'bun:test'
import { keyOf, revisionOf } from '../../core/member.ts'
import {
  byRevision,
  changesAfter,
  check,
  collection,
  inShort,
  noonMs,
  put,
  read,
  remove,
  renew,
  type Store,
  type Suite,
  scanAll,
  write,
  writeAt,
} from './store.ts'

/** Renewals: they change the expiry, and make neither a revision nor a change. */
export function renewalPromises({ storeTest, phaseTest }: Suite): void {
  const soonMs = noonMs + 1000
  const laterMs = noonMs + 5000

  /** Renews a member by its current revision, and expects that nothing but its expiry changes. */
  async function renewed(store: Store, key: string, expiresAtMs: number | null): Promise<void> {
    const before = (await read(store, key))!
    const [written] = await write(store, renew(key, before.revision, expiresAtMs))
    const isShorter =
      before.expiresAtMs === null || (expiresAtMs !== null && expiresAtMs < before.expiresAtMs)
    const { revision, createdAtMs } = before
    const clock = before.clock + (isShorter ? 1 : 0)
    expect(written).toEqual({ revision, createdAtMs, clock, existed: true })
    expect(await read(store, key)).toEqual({ ...before, clock, expiresAtMs })
  }

  phaseTest(
    'a renewed member has another expiry and is otherwise the same, wherever one looks',
    [
      (store) => write(store, put('a', '"é"', { expiresAtMs: soonMs, flags: 7 }), put('b', '1')),
      (store) => write(store, put('bytes', new Uint8Array(9), { expiresAtMs: soonMs, contentType: 'x/y' })),
      async (store) => {
        await renewed(store, 'a', laterMs)
        await renewed(store, 'bytes', null)
        await renewed(store, 'b', laterMs)
      },
      (store) => write(store, put('c')),
    ],
    async (store) => {
      const [a, b, bytes] = [await read(store, 'a'), await read(store, 'b'), await read(store, 'bytes')]
      expect(a).toMatchObject({ value: '"é"', expiresAtMs: laterMs, flags: 7, createdAtMs: noonMs })
      expect(bytes).toMatchObject({ expiresAtMs: null, contentType: 'x/y' })
      const { changes, next } = await changesAfter(store)
      expect(changes.map((change) => `${change.type} ${keyOf(change)}`)).toEqual([
        'put a',
        'put b',
        'put bytes',
        'put c',
      ])
      expect(changes.slice(0, 3).map((change) => change.type === 'put' && change.member)).toEqual([
        a!,
        b!,
        bytes!,
      ])
      expect(changes.map(inShort)).toEqual(byRevision(store.reported).map(inShort))
      expect(next).toBe(store.engine.head())
      expect((await scanAll(store)).slice(0, 2)).toEqual([a!, b!])
      const due = await store.engine.expiring(laterMs, 10)
      expect(due.map(({ key, revision }) => [key, revision])).toEqual([
        ['a', a!.revision],
        ['b', b!.revision],
      ])
      expect(await store.engine.expiring(laterMs - 1, 10)).toEqual([])
      expect(await store.engine.collections()).toEqual([
        { name: collection, members: 4, bytes: 1 + 4 + 1 + 1 + 5 + 9 + 1 + 1 },
      ])
    },
  )

  phaseTest(
    'the feed does not show a renewal to a reader that is past the member',
    [
      (store) => write(store, put('a', '1', { expiresAtMs: soonMs }), put('b')),
      (store) => renewed(store, 'a', laterMs),
    ],
    async (store) => {
      const { changes } = await changesAfter(store)
      const page = await store.engine.changes('', 1)
      expect((await changesAfter(store, page.next)).changes).toEqual(changes.slice(1))
      expect((await changesAfter(store, page.cursorAfter(0))).changes).toEqual(changes.slice(1))
      const { next } = await changesAfter(store)
      expect(next).toBe(store.engine.head())
      await renewed(store, 'a', null)
      expect((await changesAfter(store, next)).changes).toEqual([])
      await write(store, put('c'))
      expect((await changesAfter(store, next)).changes.map(keyOf)).toEqual(['c'])
    },
  )

  phaseTest(
    'members are renewed over and over, written and deleted after it',
    [
      (store) => write(store, ...['a', 'b', 'c', 'd'].map((key) => put(key, '1', { expiresAtMs: soonMs }))),
      async (store) => {
        for (const key of ['a', 'b', 'c', 'd']) await renewed(store, key, laterMs)
        await renewed(store, 'a', laterMs + 1)
      },
      async (store) => {
        await renewed(store, 'a', laterMs + 2)
        const { revision } = (await read(store, 'd'))!
        await write(store, put('b', '2'), remove('c'), renew('d', revision, null), put('d', '3'), remove('d'))
      },
    ],
    async (store) => {
      expect(await read(store, 'a')).toMatchObject({ value: '1', expiresAtMs: laterMs + 2 })
      expect(await read(store, 'b')).toMatchObject({ value: '2', expiresAtMs: null })
      expect((await store.engine.expiring(laterMs * 2, 10)).map(({ key }) => key)).toEqual(['a'])
      expect(await store.engine.tombstone(collection, 'c')).not.toBeNull()
      const { changes } = await changesAfter(store)
      expect(changes.map((change) => `${change.type} ${keyOf(change)}`)).toEqual([
        'put a',
        'put b',
        'delete c',
        'delete d',
      ])
      expect(await store.engine.collections()).toEqual([{ name: collection, members: 2, bytes: 4 }])
    },
  )

  phaseTest(
    'nothing is renewed but the revision that was named, until it expires',
    [
      (store) =>
        write(store, put('a'), put('over', '1', { expiresAtMs: noonMs + 1 }), put('gone'), remove('gone')),
    ],
    async (store) => {
      const before = await changesAfter(store)
      const { revision } = (await read(store, 'a'))!
      const over = (await read(store, 'over'))!
      const written = await writeAt(
        store,
        noonMs + 1,
        renew('a', revision + 1, laterMs),
        renew('a', revision - 1, laterMs),
        renew('over', over.revision, laterMs),
        renew('gone', revision + 2, laterMs),
        renew('never', 0, laterMs),
      )
      expect(written.map((one) => [one.revision, one.existed])).toEqual(Array(5).fill([0, false]))
      expect(await changesAfter(store)).toEqual(before)
      expect(await read(store, 'over')).toEqual(over)
      expect(store.renewals).toEqual([])
      expect(await store.engine.tombstone(collection, 'gone')).not.toBeNull()
    },
  )

  storeTest(
    'a renewal is done in its order: commits that were called before it come first',
    async (store) => {
      const [first] = await write(store, put('a', '1'), put('b', '1'))
      const large = JSON.stringify('x'.repeat(5000))
      const [, , renewals] = await Promise.all([
        write(store, put('a', large)),
        write(store, remove('b')),
        write(store, renew('a', first!.revision, laterMs), renew('b', first!.revision + 1, laterMs)),
      ])
      expect(renewals.map(({ revision }) => revision)).toEqual([0, 0])
      expect(await read(store, 'a')).toMatchObject({ value: large, expiresAtMs: null })
      expect(await read(store, 'b')).toBeNull()
      // A revision that is only assigned in the same commit.
      const guess = Math.max(...store.reported.map(revisionOf)) + 1
      const [, guessed] = await write(store, put('a', '2'), renew('a', guess, laterMs))
      expect(guessed).toMatchObject({ revision: 0, existed: false })
      expect(await read(store, 'a')).toMatchObject({ value: '2', expiresAtMs: null })
    },
  )

  storeTest('a delete that names an expiry spares a member that was renewed since', async (store) => {
    const [written] = await write(store, put('a', '1', { expiresAtMs: soonMs }))
    const { revision } = written!
    const swept = { cause: 'expire', ifRevision: revision, ifExpiresAtMs: soonMs } as const
    const [, [spared]] = await Promise.all([
      write(store, renew('a', revision, laterMs)),
      writeAt(store, soonMs, remove('a', swept)),
    ])
    expect(spared).toMatchObject({ revision: 0, existed: false })
    expect(await read(store, 'a')).toMatchObject({ revision, expiresAtMs: laterMs })
    await writeAt(store, laterMs, remove('a', { ...swept, ifExpiresAtMs: laterMs }))
    expect(await read(store, 'a')).toBeNull()
  })

  storeTest('a renewal is reported, with the member as it is now', async (store) => {
    const [written] = await write(store, put('a', '[1]', { expiresAtMs: soonMs }))
    await write(store, renew('a', written!.revision, laterMs))
    const member = (await read(store, 'a'))!
    expect(store.renewals).toEqual([{ type: 'renew', collection, member }])
    expect(store.reported).toHaveLength(1)
  })

  storeTest('to a check a renewed member has the revision that it had', async (store) => {
    const [written] = await write(store, put('a', '1', { expiresAtMs: noonMs + 1 }))
    const { revision } = written!
    await write(store, renew('a', revision, laterMs))
    const later = { checks: [check('a', revision)], writes: [put('a', '2')], nowMs: noonMs + 2 }
    expect(await store.engine.commit(later)).toMatchObject({
      ok: true,
      written: [{ existed: true, createdAtMs: noonMs }],
    })
  })
}
