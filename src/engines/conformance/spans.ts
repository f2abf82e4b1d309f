import { expect } from 'bun:test'
import type { MemberRef } from '../../core/engine.ts'
import { KvistError } from '../../core/errors.ts'
import {
  attempt,
  changesAfter,
  check,
  collection,
  nextTick,
  noonMs,
  put,
  read,
  remove,
  type Store,
  type Suite,
  write,
} from './store.ts'

/** The span of a commit, the rejection of one that spans more, and commits with `apart`. */
export function spanPromises(suite: Suite): void {
  const { commitSpans } = suite.differences
  if (commitSpans !== 'line') commitsOfOneCollection(suite)
  if (commitSpans === 'store') commitsOfSeveralCollections(suite)
  else commitsThatSpanMore(suite)
  commitsApart(suite)
  if (commitSpans !== 'store') return
  suite.storeTest('a commit apart is still done whole where it can be', async (store) => {
    const result = await store.engine.commit({ checks: [], writes: everywhere, nowMs: noonMs, apart: true })
    expect(result).toMatchObject({ ok: true })
    expect(store.reported).toHaveLength(everywhere.length)
  })
}

/** So many members that no placement has all of them on one line. */
const everywhere = Array.from({ length: 40 }, (_, i) => put(`k${i}`, String(i), { collection: `c${i}` }))

function commitsOfOneCollection({ storeTest, phaseTest }: Suite): void {
  storeTest('readers see a batch whole or not at all, and never go back', async (store) => {
    const refs = Array.from({ length: 8 }, (_, i) => ({ collection, key: `k${i}` }))
    let last = -1
    let running = true
    async function look(): Promise<void> {
      while (running) {
        const found = await store.engine.readMany(refs)
        const values = new Set(found.map((member) => member?.value ?? '-1'))
        expect(values.size).toBe(1)
        const generation = Number([...values][0])
        expect(generation).toBeGreaterThanOrEqual(last)
        last = generation
        await nextTick()
      }
    }
    const looking = look()
    for (let generation = 0; generation < 80; generation++) {
      await write(store, ...refs.map(({ key }) => put(key, String(generation))))
      expect((await read(store, 'k3'))?.value).toBe(String(generation))
      await nextTick()
    }
    running = false
    await looking
  })

  phaseTest(
    'ten thousand writes are one commit',
    [(store) => write(store, ...Array.from({ length: 10_000 }, (_, i) => put(`k${i}`, `"${i}"`)))],
    async (store) => {
      const stats = await store.engine.collections()
      expect(stats).toMatchObject([{ name: collection, members: 10_000 }])
      expect(await read(store, 'k9999')).toMatchObject({ value: '"9999"' })
    },
  )
}

function commitsOfSeveralCollections({ phaseTest }: Suite): void {
  phaseTest(
    'a commit checks and writes several collections together',
    [(store) => write(store, put('a', '1', { collection: 'one' }), put('a', '2', { collection: 'two' }))],
    async (store) => {
      const one = (await read(store, 'a', 'one'))!
      const two = (await read(store, 'a', 'two'))!
      const writes = [put('a', '3', { collection: 'one' }), remove('a', { collection: 'two' })]
      const failed = await attempt(store, [check('a', one.revision, 'one'), check('a', null, 'two')], writes)
      expect(failed).toEqual({ ok: false, failed: { collection: 'two', key: 'a', revision: two.revision } })
      expect(await read(store, 'a', 'one')).toEqual(one)
      const done = await attempt(store, [check('a', two.revision, 'two')], writes)
      expect(done).toMatchObject({ ok: true })
      expect(await read(store, 'a', 'one')).toMatchObject({ value: '3' })
      expect(await read(store, 'a', 'two')).toBeNull()
    },
  )
}

function commitsThatSpanMore({ storeTest }: Suite): void {
  storeTest('a commit that spans more is refused whole, with what one commit can span', async (store) => {
    await write(store, put('there', '1'))
    const checks = [check('there', (await read(store, 'there'))!.revision)]
    const before = await changesAfter(store)
    const fault = await attempt(store, checks, everywhere).then(
      () => null,
      (error: unknown) => error,
    )
    if (!(fault instanceof KvistError)) throw new Error('it was not refused')
    expect(fault.code).toBe('unprocessable')
    expect(await changesAfter(store)).toEqual(before)
    const together = fault.extra.together as MemberRef[][]
    const refs = [...checks, ...everywhere].map(({ collection, key }) => ({ collection, key }))
    const byName = (a: MemberRef, b: MemberRef) =>
      `${a.collection}/${a.key}` < `${b.collection}/${b.key}` ? -1 : 1
    expect(together.flat().toSorted(byName)).toEqual(refs.toSorted(byName))
    expect(together.length).toBeGreaterThan(1)
    for (const group of together) {
      const isIn = (ref: MemberRef) =>
        group.some((one) => one.collection === ref.collection && one.key === ref.key)
      expect(await attempt(store, checks.filter(isIn), everywhere.filter(isIn))).toMatchObject({ ok: true })
    }
    expect((await changesAfter(store)).changes).toHaveLength(1 + everywhere.length)
  })

  storeTest(
    "a write to a collection of kvist's own shares the line of the member that it names",
    async (store) => {
      for (const one of everywhere) {
        const near = { collection: one.collection, key: one.key }
        const entry = (key: string) => ({ ...put(key, '1', { collection: '_entries' }), near })
        const result = await attempt(store, [], [one, entry(one.key), entry(`${one.key}!`)])
        expect(result).toMatchObject({ ok: true })
      }
      const range = {
        collection: '_entries',
        from: null,
        to: null,
        order: 'asc',
        limit: 1000,
        keysOnly: true,
      } as const
      const { members } = await store.engine.scan(range)
      expect(members.map(({ key }) => key)).toEqual(
        everywhere.flatMap(({ key }) => [key, `${key}!`]).toSorted(),
      )
      const { changes } = await changesAfter(store, '', 1000, '_entries')
      expect(changes).toHaveLength(2 * everywhere.length)
    },
  )
}

function commitsApart({ phaseTest }: Suite): void {
  phaseTest(
    'writes that need not happen together go to any members in one commit, each with its outcome in its place',
    [
      (store) => write(store, ...everywhere.filter((_, i) => i % 2 === 0)),
      async (store: Store) => {
        const writes = [...everywhere, remove('never'), put('a'), put('a', '2')]
        const result = await store.engine.commit({ checks: [], writes, nowMs: noonMs, apart: true })
        if (!result.ok) throw new Error('it has no checks')
        const { written } = result
        expect(written.map(({ existed }) => existed)).toEqual([
          ...everywhere.map((_, i) => i % 2 === 0),
          ...[false, false, true],
        ])
        const of = written.map(({ revision }) => revision)
        expect([of.at(-3), of.at(-2)! < of.at(-1)!]).toEqual([0, true])
        for (const [i, { collection: name, key }] of everywhere.entries())
          expect(await store.engine.read(name, key)).toMatchObject({ value: String(i), revision: of[i]! })
      },
    ],
    async (store) => {
      expect(await read(store, 'a')).toMatchObject({ value: '2' })
      expect((await changesAfter(store)).changes).toHaveLength(everywhere.length + 1)
    },
  )
}
