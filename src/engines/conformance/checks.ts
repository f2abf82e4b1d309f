import { expect } from 'bun:test'
import { stepLimit } from '../../../test/support/steps.ts'
import {
  attempt,
  changesAfter,
  check,
  collection,
  noonMs,
  put,
  read,
  remove,
  type Suite,
  write,
  writtenOf,
} from './store.ts'

/** The checks of a commit. */
export function checkPromises(suite: Suite): void {
  const { storeTest, phaseTest, differences } = suite
  phaseTest(
    'a commit with a check that fails writes nothing, and says what stands in the way',
    [(store) => write(store, put('a', '1'))],
    async (store) => {
      const a = (await read(store, 'a'))!
      const feed = await changesAfter(store)
      for (const [revision, isMet] of [
        [null, false],
        [a.revision + 1, false],
        [a.revision, true],
      ] as const) {
        const result = await attempt(store, [check('a', revision)], [put('a', '2'), put('a', '3')])
        if (isMet) expect(writtenOf(result)).toHaveLength(2)
        else expect(result).toEqual({ ok: false, failed: { collection, key: 'a', revision: a.revision } })
        if (!isMet) expect([await read(store, 'a'), await changesAfter(store)]).toEqual([a, feed])
      }
      expect(await read(store, 'a')).toMatchObject({ value: '3' })
    },
  )

  storeTest('of many that create one member at once, one does', async (store) => {
    for (let round = 0; round < 10; round++) {
      const key = `k${round}`
      const results = await Promise.all(
        Array.from({ length: 20 }, (_, i) => attempt(store, [check(key, null)], [put(key, String(i))])),
      )
      const { revision } = (await read(store, key))!
      expect(results.filter(({ ok }) => ok)).toHaveLength(1)
      for (const result of results) if (!result.ok) expect(result).toMatchObject({ failed: { revision } })
    }
  })

  storeTest('many that add one to a number under a check lose no addition', async (store) => {
    await write(store, put('n', '0'))
    async function addOne(): Promise<void> {
      for (const step = stepLimit('adding one under a check'); ; step()) {
        const { value, revision } = (await read(store, 'n'))!
        const result = await attempt(store, [check('n', revision)], [put('n', String(Number(value) + 1))])
        if (result.ok) return
      }
    }
    await Promise.all(Array.from({ length: 25 }, addOne))
    expect(await read(store, 'n')).toMatchObject({ value: '25' })
  })

  storeTest('a commit without writes resolves with the outcome of its checks', async (store) => {
    expect(await attempt(store, [], [])).toEqual({ ok: true, written: [] })
    const [written] = await write(store, put('a'))
    expect(await attempt(store, [check('a', written!.revision)], [])).toEqual({ ok: true, written: [] })
    expect(await attempt(store, [check('a', null)], [])).toMatchObject({ ok: false })
    expect(store.reported).toHaveLength(1)
  })

  if (differences.commitSpans !== 'line') checksOfSeveral(suite)
}

function checksOfSeveral({ storeTest, phaseTest }: Suite): void {
  phaseTest(
    'a check of what is stored sees an expired version, which others take for absent',
    [(store) => write(store, put('a', '1', { expiresAtMs: noonMs - 1 }))],
    async (store) => {
      const { revision } = (await read(store, 'a'))!
      const stored = (expected: number | null) => ({ ...check('a', expected), evenExpired: true }) as const
      expect(await attempt(store, [stored(null)], [put('b')])).toMatchObject({
        ok: false,
        failed: { revision },
      })
      expect(await attempt(store, [stored(revision + 1)], [put('b')])).toMatchObject({ ok: false })
      expect(await attempt(store, [check('a', revision)], [put('b')])).toMatchObject({ ok: false })
      expect(await read(store, 'b')).toBeNull()
      expect(await attempt(store, [stored(revision), check('a', null)], [put('b')])).toMatchObject({
        ok: true,
      })
      expect(await read(store, 'b')).not.toBeNull()
    },
  )

  phaseTest(
    'a write that follows another is done if that one was',
    [
      (store) =>
        write(store, put('a', '1'), put('old', '1'), {
          ...put('renewed', '1', { expiresAtMs: noonMs + 1000 }),
          origin: { clock: 2 ** 45, node: 'other', createdAtMs: 1 },
        }),
      (store) =>
        attempt(
          store,
          [],
          [
            put('a', '2'),
            { ...put('with-a'), ifDone: 0 },
            remove('missing'),
            { ...put('with-missing'), ifDone: 2 },
            { ...remove('old'), ifDone: 2 },
            { ...put('a', '0'), origin: { clock: 1, node: 'other', createdAtMs: 1 } },
            { ...put('with-superseded'), ifDone: 5 },
            { ...put('with-left-out'), ifDone: 3 },
            { ...put('renewed', '2'), origin: { clock: 2 ** 45, node: 'other', createdAtMs: 1 } },
            { ...put('with-renewed'), ifDone: 8 },
            put('b'),
          ],
        ),
    ],
    async (store) => {
      const found = await store.engine.readMany(
        ['a', 'with-a', 'with-missing', 'old', 'with-superseded', 'with-left-out', 'with-renewed', 'b'].map(
          (key) => ({
            collection,
            key,
          }),
        ),
      )
      expect(found.map((member) => member?.value ?? null)).toEqual([
        '2',
        '1',
        null,
        '1',
        null,
        null,
        null,
        '1',
      ])
    },
  )

  storeTest('a write that follows another is left out within a quota, too', async (store) => {
    const quotas = [{ collection, maxMembers: 2, maxBytes: null, maxValueBytes: null }]
    const writes = [remove('missing'), { ...put('a'), ifDone: 0 }, put('b'), { ...put('c'), ifDone: 2 }]
    const result = await store.engine.commit({ checks: [], writes, nowMs: noonMs, quotas })
    expect(writtenOf(result).map(({ revision }) => revision > 0)).toEqual([false, false, true, true])
    expect(await read(store, 'a')).toBeNull()
  })

  phaseTest(
    'a failed check in the middle of a batch writes nothing, and says what stands in the way',
    [(store) => write(store, put('a', '1'), put('b', '1'))],
    async (store) => {
      const a = (await read(store, 'a'))!
      const b = (await read(store, 'b'))!
      const feed = await changesAfter(store)
      const reported = store.reported.length
      const checks = [check('a', a.revision), check('b', b.revision + 1), check('c', null)]
      const result = await attempt(store, checks, [put('a', '2'), put('c', '2'), remove('b'), put('d', '2')])
      expect(result).toEqual({ ok: false, failed: { collection, key: 'b', revision: b.revision } })
      expect(await store.engine.readMany(['a', 'b', 'c', 'd'].map((key) => ({ collection, key })))).toEqual([
        a,
        b,
        null,
        null,
      ])
      expect(await changesAfter(store)).toEqual(feed)
      expect(store.reported).toHaveLength(reported)
      expect(await store.engine.collections()).toEqual([{ name: collection, members: 2, bytes: 4 }])
    },
  )

  phaseTest(
    'checks hold for the revision that is there and for what must not be',
    [(store) => write(store, put('a', '1'), put('b', '1')), (store) => write(store, remove('b'))],
    async (store) => {
      const { revision } = (await read(store, 'a'))!
      const taken = await attempt(store, [check('a', null)], [put('a', '2')])
      expect(taken).toEqual({ ok: false, failed: { collection, key: 'a', revision } })
      const gone = await attempt(store, [check('b', revision)], [put('b', '2')])
      expect(gone).toEqual({ ok: false, failed: { collection, key: 'b', revision: null } })
      expect(await attempt(store, [check('b', null), check('never', null)], [put('b', '2')])).toMatchObject({
        ok: true,
      })
      expect(await attempt(store, [check('a', revision)], [put('a', '2')])).toMatchObject({ ok: true })
      expect(await attempt(store, [check('a', revision)], [put('a', '3')])).toMatchObject({ ok: false })
      expect(await read(store, 'a')).toMatchObject({ value: '2' })
    },
  )

  phaseTest(
    'to a check an expired member is absent, from the very millisecond of its expiry',
    [(store) => write(store, put('a', '1', { expiresAtMs: noonMs + 100 }))],
    async (store) => {
      const { revision } = (await read(store, 'a'))!
      const early = await attempt(store, [check('a', null)], [put('b')], noonMs + 99)
      expect(early).toEqual({ ok: false, failed: { collection, key: 'a', revision } })
      const late = await attempt(store, [check('a', revision)], [put('b')], noonMs + 100)
      expect(late).toEqual({ ok: false, failed: { collection, key: 'a', revision: null } })
      expect(await attempt(store, [check('a', null)], [put('b')], noonMs + 100)).toMatchObject({ ok: true })
    },
  )

  storeTest('a check sees the commits ahead of it in the queue', async (store) => {
    const results = await Promise.all([
      attempt(store, [check('a', null)], [put('a', '"first"')]),
      attempt(store, [check('a', null)], [put('a', '"second"'), put('b', '2')]),
      attempt(store, [], [remove('a')]),
      attempt(store, [check('a', null), check('b', null)], [put('a', '"fourth"')]),
    ])
    const [first] = writtenOf(results[0])
    expect(results[1]).toEqual({ ok: false, failed: { collection, key: 'a', revision: first!.revision } })
    expect(writtenOf(results[2])[0]).toMatchObject({ existed: true })
    expect(writtenOf(results[3])[0]).toMatchObject({ existed: false })
    expect(await read(store, 'a')).toMatchObject({ value: '"fourth"' })
    expect(await read(store, 'b')).toBeNull()
  })
}
