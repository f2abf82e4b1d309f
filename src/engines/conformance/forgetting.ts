import { expect } from 'bun:test'
import { KvistError } from '../../core/errors.ts'
import { keyOf } from '../../core/member.ts'
import { changesAfter, collection, noonMs, put, remove, type Store, type Suite, writeAt } from './store.ts'

const hourMs = 3_600_000

/** The feed after tombstones are forgotten. */
export function forgettingPromises({ storeTest, differences }: Suite): void {
  /** Writes members k0 to k9, of which k1, k3, k5 and k7 are removed in hours 1 to 4; then restarts the engine. */
  async function withTombstones(store: Store): Promise<void> {
    await writeAt(store, noonMs, ...Array.from({ length: 10 }, (_, i) => put(`k${i}`)))
    for (let hour = 1; hour <= 4; hour++) {
      await writeAt(store, noonMs + hour * hourMs, remove(`k${2 * hour - 1}`), put(`alive${hour}`))
    }
    await store.reopen()
  }

  async function tombstones({ engine }: Store): Promise<string[]> {
    const keys = Array.from({ length: 10 }, (_, i) => `k${i}`)
    const found = await Promise.all(keys.map((key) => engine.tombstone(collection, key)))
    return found.flatMap((tombstone) => tombstone?.key ?? [])
  }

  async function refusal(store: Store, cursor: string): Promise<unknown> {
    try {
      return await store.engine.changes(cursor, 10)
    } catch (error) {
      return error instanceof KvistError ? [error.code, error.extra] : error
    }
  }

  if (differences.commitSpans !== 'line') {
    storeTest(
      'tombstones of before a time are forgotten, the oldest first, as many as were asked for',
      async (store) => {
        await withTombstones(store)
        const { engine } = store
        expect(await engine.forget(noonMs + hourMs, 10)).toBe(0)
        expect(await engine.forget(noonMs + 3 * hourMs, 1)).toBe(1)
        expect(await tombstones(store)).toEqual(['k3', 'k5', 'k7'])
        expect(await engine.forget(noonMs + 3 * hourMs, 10)).toBe(1)
        expect(await tombstones(store)).toEqual(['k5', 'k7'])
        expect(await engine.forget(noonMs + 3 * hourMs, 10)).toBe(0)
        expect(await engine.forget(noonMs + 99 * hourMs, 10)).toBe(2)
        expect(await engine.forget(noonMs + 99 * hourMs, 10)).toBe(0)
        expect(await tombstones(store)).toEqual([])
        const { changes } = await changesAfter(store)
        expect(changes.map(({ type }) => type)).toEqual(Array(10).fill('put'))
        await writeAt(store, noonMs, put('k1'), put('k3'), remove('k3'))
        expect(await tombstones(store)).toEqual(['k3'])
      },
    )

    storeTest(
      'a cursor before what was forgotten is refused, and one that is served is named',
      async (store) => {
        await withTombstones(store)
        const all = await changesAfter(store)
        const cursors = await allCursors(store)
        expect(await store.engine.forget(noonMs + 3 * hourMs, 10)).toBe(2)
        for (let round = 0; round < 2; round++) {
          const isOld = (i: number) => i <= all.changes.findIndex((change) => keyOf(change) === 'k3') - 1
          for (const [i, cursor] of cursors.entries()) {
            if (!isOld(i))
              expect((await changesAfter(store, cursor)).changes).toEqual(all.changes.slice(i + 1))
            else {
              const [code, extra] = (await refusal(store, cursor)) as [string, { oldest: string }]
              expect(code).toBe('compacted')
              const served = await changesAfter(store, extra.oldest)
              expect(served.changes).toEqual(all.changes.slice(all.changes.length - served.changes.length))
              expect(served.changes.length).toBeGreaterThan(0)
            }
          }
          // The beginning of the feed is served, in both spellings of its cursor.
          for (const cursor of ['', '0']) {
            expect((await changesAfter(store, cursor)).changes.map(keyOf)).not.toContain('k3')
          }
          await store.reopen()
        }
      },
    )
  }

  storeTest('tombstones older than a time are forgotten, however the lines order them', async (store) => {
    await withTombstones(store)
    expect(await store.engine.forget(noonMs + hourMs, 10)).toBe(0)
    expect(await store.engine.forget(noonMs + 3 * hourMs, 10)).toBe(2)
    expect(await tombstones(store)).toEqual(['k5', 'k7'])
    expect(await store.engine.forget(noonMs + 99 * hourMs, 1)).toBe(1)
    expect(await store.engine.forget(noonMs + 99 * hourMs, 10)).toBe(1)
    expect(await tombstones(store)).toEqual([])
  })

  storeTest('a reader from the beginning goes on, whatever from before that is forgotten', async (store) => {
    await withTombstones(store)
    await store.engine.forget(noonMs + 2 * hourMs, 10)
    const limits = [1, 2, 3, 7]
    const readers = await Promise.all(limits.map((limit) => store.engine.changes('', limit)))
    const between = readers.map((page) => page.cursorAfter(0))
    expect(await store.engine.forget(noonMs + 99 * hourMs, 10)).toBe(3)
    const kept = (await changesAfter(store)).changes
    for (const [i, page] of readers.entries()) {
      const live = page.changes.filter(({ type }) => type === 'put')
      expect([...live, ...(await changesAfter(store, page.next, limits[i]!)).changes]).toEqual(kept)
      expect((await changesAfter(store, between[i])).changes).toEqual(kept.slice(1))
    }
    // They would miss members that are removed after they began.
    await writeAt(store, noonMs + 5 * hourMs, remove('k0'), put('last'))
    await store.reopen()
    for (const page of readers) {
      const rest = await changesAfter(store, page.next)
      expect(rest.changes.map(keyOf).slice(-2)).toEqual(['k0', 'last'])
    }
    expect(await store.engine.forget(noonMs + 99 * hourMs, 10)).toBe(1)
    for (const [i, page] of readers.entries()) {
      expect(await refusal(store, page.next)).toMatchObject(['compacted', {}])
      expect(await refusal(store, between[i]!)).toMatchObject(['compacted', {}])
    }
    expect((await changesAfter(store)).next).toBe(store.engine.head())
  })

  storeTest('the largest stamp of what was forgotten is known, over restarts too', async (store) => {
    await withTombstones(store)
    expect(await store.engine.forgottenClock()).toBe(0)
    const removed = new Map<string, number>()
    for (const key of await tombstones(store))
      removed.set(key, (await store.engine.tombstone(collection, key))!.removedClock)
    for (let round = 0; round < 4; round++) {
      expect(await store.engine.forget(noonMs + 99 * hourMs, 1)).toBe(1)
      const left = new Set(await tombstones(store))
      const forgotten = [...removed].filter(([key]) => !left.has(key)).map(([, clock]) => clock)
      expect(await store.engine.forgottenClock()).toBe(Math.max(...forgotten))
      await store.reopen()
    }
    await store.reopen()
    expect(await store.engine.forgottenClock()).toBe(Math.max(...removed.values()))
  })

  async function allCursors(store: Store): Promise<string[]> {
    const cursors: string[] = []
    for (let next = ''; ; ) {
      const page = await store.engine.changes(next, 3)
      cursors.push(...page.changes.map((_, i) => page.cursorAfter(i)))
      next = page.next
      if (page.atEnd) return cursors
    }
  }
}
