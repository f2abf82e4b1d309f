import { expect } from 'bun:test'
import { jsonContentType } from '../../core/member.ts'
import {
  attempt,
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
  type Suite,
  write,
  writeAt,
  writtenOf,
} from './store.ts'

/** Commits are atomic, ordered, and applied only if their checks hold. */
export function commitPromises({ storeTest, phaseTest }: Suite): void {
  phaseTest(
    'a put is read back with everything that it said',
    [(store) => write(store, put('a', '{"n":1}', { flags: 7, expiresAtMs: noonMs + 5000 }))],
    async (store) => {
      const member = await read(store, 'a')
      expect(member).toMatchObject({
        key: 'a',
        value: '{"n":1}',
        createdAtMs: noonMs,
        node: '',
        expiresAtMs: noonMs + 5000,
        contentType: jsonContentType,
        flags: 7,
      })
      expect(member?.revision).toBeGreaterThan(0)
      expect(member?.clock).toBeGreaterThan(0)
      expect(await read(store, 'b')).toBeNull()
      expect(await read(store, 'a', 'other')).toBeNull()
    },
  )

  phaseTest(
    'an overwritten member keeps the time it was created at',
    [
      (store) => writeAt(store, noonMs, put('a', '1')),
      async (store) => {
        const [written] = await writeAt(store, noonMs + 60, put('a', '2'))
        expect(written).toMatchObject({ createdAtMs: noonMs, existed: true })
      },
    ],
    async (store) => expect(await read(store, 'a')).toMatchObject({ value: '2', createdAtMs: noonMs }),
  )

  phaseTest(
    'a member that was deleted before is created anew',
    [
      (store) => writeAt(store, noonMs, put('a', '1')),
      (store) => writeAt(store, noonMs, remove('a')),
      async (store) => {
        const [written] = await writeAt(store, noonMs + 60, put('a', '2'))
        expect(written).toMatchObject({ createdAtMs: noonMs + 60, existed: false })
      },
    ],
    async (store) => expect(await read(store, 'a')).toMatchObject({ value: '2', createdAtMs: noonMs + 60 }),
  )

  phaseTest(
    'an expired member is created anew, from the very millisecond of its expiry',
    [
      (store) => writeAt(store, noonMs, put('a', '1', { expiresAtMs: noonMs + 100 }), put('b', '1')),
      (store) => writeAt(store, noonMs, put('b', '2', { expiresAtMs: noonMs + 100 })),
      async (store) => {
        const [a] = await writeAt(store, noonMs + 100, put('a', '2'))
        expect(a).toMatchObject({ createdAtMs: noonMs + 100, existed: false })
        const [b] = await writeAt(store, noonMs + 99, put('b', '3'))
        expect(b).toMatchObject({ createdAtMs: noonMs, existed: true })
      },
    ],
    async (store) => {
      expect(await read(store, 'a')).toMatchObject({ value: '2', createdAtMs: noonMs + 100 })
      expect(await read(store, 'b')).toMatchObject({ value: '3', createdAtMs: noonMs, expiresAtMs: null })
    },
  )

  storeTest('revisions and clock stamps grow with every write', async (store) => {
    let revision = 0
    let clock = 0
    for (let i = 0; i < 30; i++) {
      // The wall clock may stop or go back; stamps always increase.
      const written = await writeAt(store, noonMs - i, put(`k${i % 4}`), put(`l${i}`), remove(`l${i}`))
      for (const one of written) {
        expect(one.revision).toBeGreaterThan(revision)
        expect(one.clock).toBeGreaterThan(clock)
        revision = one.revision
        clock = one.clock
      }
      if (i % 10 === 9) await store.reopen()
    }
  })

  phaseTest(
    'a delete of what is not there does nothing',
    [(store) => write(store, put('a'))],
    async (store) => {
      const before = await changesAfter(store)
      const reported = store.reported.length
      const written = await write(
        store,
        remove('b'),
        remove('b', { cause: 'expire' }),
        remove('a', { ifRevision: 0 }),
      )
      expect(written.map(({ revision, existed }) => ({ revision, existed }))).toEqual([
        { revision: 0, existed: false },
        { revision: 0, existed: false },
        { revision: 0, existed: false },
      ])
      expect(await changesAfter(store)).toEqual(before)
      expect(store.reported).toHaveLength(reported)
      expect(await read(store, 'a')).not.toBeNull()
      expect(await store.engine.tombstone(collection, 'b')).toBeNull()
    },
  )

  storeTest(
    'puts and deletes of a commit have revisions and stamps that follow each other',
    async (store) => {
      const [a] = await write(store, put('a'), put('b'))
      const { revision } = a!
      const ofOne = [put('a', '2'), remove('a'), remove('a'), put('a'), put('a', '3')]
      const ofSeveral = [put('c'), put('a', '2'), remove('none'), remove('b'), put('b')]
      for (const writes of store.commitSpans === 'line' ? [ofOne] : [ofSeveral, ofOne]) {
        const written = await write(store, ...writes, renew('a', revision, noonMs + 5000))
        const first = written[0]!
        const offsets = written
          .slice(0, 5)
          .map((one) => [one.revision && one.revision - first.revision, one.clock && one.clock - first.clock])
        const nothing = [0, 0]
        expect(offsets).toEqual([[0, 0], [1, 1], nothing, [2, 2], [3, 3]])
      }
    },
  )

  phaseTest(
    'a delete of an expired member does nothing, unless it names the revision',
    [(store) => write(store, put('a', '1', { expiresAtMs: noonMs + 100 }))],
    async (store) => {
      const { revision } = (await read(store, 'a'))!
      const [plain] = await writeAt(store, noonMs + 100, remove('a'))
      expect(plain).toMatchObject({ revision: 0, existed: false })
      expect(await read(store, 'a')).toMatchObject({ revision })
      const [swept] = await writeAt(
        store,
        noonMs + 100,
        remove('a', { cause: 'expire', ifRevision: revision }),
      )
      expect(swept?.revision).toBeGreaterThan(revision)
      expect(swept?.existed).toBe(false)
      expect(await read(store, 'a')).toBeNull()
      expect(await store.engine.tombstone(collection, 'a')).toMatchObject({ cause: 'expire' })
    },
  )

  phaseTest(
    'a delete that names a revision spares a newer one, and fails no commit',
    [(store) => write(store, put('a', '1'), put('b', '1')), (store) => write(store, put('a', '2'))],
    async (store) => {
      const a = (await read(store, 'a'))!
      const b = (await read(store, 'b'))!
      const written = await write(
        store,
        remove('a', { ifRevision: a.revision - 1 }),
        remove('b', { ifRevision: b.revision }),
        put('c'),
      )
      expect(written.map(({ existed, revision }) => [existed, revision > 0])).toEqual([
        [false, false],
        [true, true],
        [false, true],
      ])
      expect(await read(store, 'a')).toEqual(a)
      expect(await read(store, 'b')).toBeNull()
      expect(await read(store, 'c')).not.toBeNull()
    },
  )

  phaseTest(
    'several writes to one member in one commit happen in their order, each with its revision',
    [
      async (store) => {
        const written = await write(
          store,
          put('a', '1'),
          put('a', '2'),
          remove('a'),
          remove('a'),
          put('a', '3'),
          put('b', '4'),
          remove('b'),
        )
        expect(written.map(({ existed }) => existed)).toEqual([false, true, true, false, false, false, true])
        const done = written.map(({ revision }) => revision).filter((revision) => revision > 0)
        expect(done).toHaveLength(6)
        expect(done.toSorted((x, y) => x - y)).toEqual(done)
        expect(byRevision(store.reported).map(inShort)).toEqual(
          ['put a', 'put a', 'delete a', 'put a', 'put b', 'delete b'].map((what, i) => `${what} ${done[i]}`),
        )
      },
    ],
    async (store) => {
      expect(await read(store, 'a')).toMatchObject({ value: '3' })
      expect(await read(store, 'b')).toBeNull()
      expect(await store.engine.collections()).toEqual([{ name: collection, members: 1, bytes: 2 }])
    },
  )

  const many = Array.from({ length: 600 }, (_, i) => `k${i}`)
  phaseTest(
    'many that are read at once come as they are, in the order of the refs',
    [
      (store) => write(store, ...many.map((key) => put(key, '1'))),
      (store) => write(store, ...many.slice(0, 400).map((key) => put(key, '2'))),
    ],
    async (store) => {
      const refs = many.toReversed().flatMap((key) => [
        { collection, key },
        { collection, key: `${key}!` },
      ])
      const values = (await store.engine.readMany(refs)).map((found) => found?.value ?? null)
      expect(values).toEqual(many.toReversed().flatMap((_, i) => [i < 200 ? '1' : '2', null]))
    },
  )

  phaseTest(
    'many that are read at once come as they are when they are read, also those that are read twice',
    [(store) => write(store, put('a', '1'), put('b', '1'), put('c', '1'))],
    async (store) => {
      const refs = ['a', 'b', 'c', 'none'].map((key) => ({ collection, key }))
      for (let round = 2; round < 5; round++) {
        await write(store, put('a', `${round}`), round % 2 ? put('b', `${round}`) : remove('b'))
        const values = [`${round}`, round % 2 ? `${round}` : null, '1', null]
        for (const [i, { key }] of refs.entries())
          expect([key, (await read(store, key))?.value ?? null]).toEqual([key, values[i]!])
        const found = await store.engine.readMany([...refs, ...refs.toReversed()])
        expect(found.map((one) => one?.value ?? null)).toEqual([...values, ...values.toReversed()])
      }
    },
  )

  phaseTest(
    'many that are read at once end with the one that passes the bytes that were asked for',
    [(store) => write(store, ...many.map((key) => put(key, JSON.stringify('x'.repeat(98)))))],
    async (store) => {
      const refs = ['none', ...many].map((key) => ({ collection, key }))
      const expected: [maxBytes: number, members: number][] = [
        [0, 2],
        [99, 2],
        [100, 3],
        [50_000, 502],
        [100 * many.length, many.length + 1],
      ]
      for (const [maxBytes, members] of expected) {
        const found = await store.engine.readMany(refs, maxBytes)
        expect([maxBytes, found.length]).toEqual([maxBytes, members])
        expect(found.slice(1).map((one) => one?.key)).toEqual(many.slice(0, members - 1))
      }
    },
  )

  phaseTest(
    'of commits that are asked for at once each finds what it checks and replaces, whichever of the others fail',
    [(store) => write(store, ...many.slice(0, 300).map((key) => put(key, JSON.stringify(key))))],
    async (store) => {
      const found = await Promise.all(many.map((key) => read(store, key)))
      const results = await Promise.all(
        many.map((key, i) => {
          const revision = found[i]?.revision ?? null
          const checks = [check(key, revision), check(key, i % 3 === 0 ? 1e9 : revision)]
          return attempt(store, checks, [put(key, '1'), put(key, '2')], noonMs + i)
        }),
      )
      for (const [i, result] of results.entries()) {
        const key = many[i]!
        if (i % 3 === 0) {
          expect(result).toMatchObject({ ok: false, failed: { key, revision: found[i]?.revision ?? null } })
          continue
        }
        const createdAtMs = found[i]?.createdAtMs ?? noonMs + i
        const existed = found[i] !== null
        expect(writtenOf(result)).toMatchObject([
          { createdAtMs, existed },
          { createdAtMs, existed: true },
        ])
      }
    },
  )

  storeTest('commits to a collection take effect in the order they were asked for', async (store) => {
    const results = await Promise.all(
      Array.from({ length: 300 }, (_, i) =>
        attempt(store, [], [put('same', String(i)), put('same', `${i}!`)]),
      ),
    )
    const revisions = results.flatMap((result) => writtenOf(result).map(({ revision }) => revision))
    expect(revisions.toSorted((a, b) => a - b)).toEqual(revisions)
    expect(new Set(revisions).size).toBe(600)
    expect(await read(store, 'same')).toMatchObject({ value: '299!' })
  })
}
