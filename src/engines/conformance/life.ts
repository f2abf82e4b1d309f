import { expect } from 'bun:test'
import type { Change, Member } from '../../core/member.ts'
import {
  attempt,
  changesAfter,
  collection,
  expectCode,
  noonMs,
  put,
  read,
  remove,
  type Store,
  type Suite,
  scanAll,
  write,
} from './store.ts'

/** Opening and closing. */
export function lifePromises({ storeTest, differences }: Suite): void {
  storeTest('a new store is empty', async (store) => {
    expect(await stateOf(store)).toEqual({
      members: [],
      changes: [],
      stats: [],
      tombstone: null,
      next: store.engine.head(),
    })
    expect(await store.engine.expiring(noonMs, 10)).toEqual([])
    await store.reopen()
    expect(await stateOf(store)).toEqual({
      members: [],
      changes: [],
      stats: [],
      tombstone: null,
      next: store.engine.head(),
    })
  })

  storeTest('a store that is opened again is the same, as often as one likes', async (store) => {
    for (let round = 0; round < 4; round++) {
      await fill(store, round)
      const before = await stateOf(store)
      await store.reopen()
      expect(await stateOf(store)).toEqual(before)
      await store.reopen()
      expect(await stateOf(store)).toEqual(before)
    }
  })

  storeTest('closing finishes the commits under way and takes no more', async (store) => {
    const under = Array.from({ length: 50 }, (_, i) => attempt(store, [], [put(`k${i}`)]))
    const closed = store.engine.close()
    const late = attempt(store, [], [put('late')])
    await expectCode(late, 'closing')
    expect((await Promise.all(under)).every(({ ok }) => ok)).toBe(true)
    await closed
    await expectCode(attempt(store, [], [put('later')]), 'closing')
    await expectCode(read(store, 'k0'), 'closing')
    await expectCode(scanAll(store), 'closing')
    await expectCode(changesAfter(store), 'closing')
    if (!differences.isDurable) return
    await store.reopen()
    expect(await scanAll(store)).toHaveLength(50)
  })

  storeTest('closing twice is closing', async (store) => {
    await write(store, put('a'))
    await Promise.all([store.engine.close(), store.engine.close()])
    await store.engine.close()
    if (!differences.isDurable) return
    await store.reopen()
    expect(await read(store, 'a')).not.toBeNull()
  })

  storeTest(
    'relaxed commits are seen at once and are there after a restart',
    async (store) => {
      for (let i = 0; i < 30; i++) await write(store, put(`k${i}`))
      expect(await scanAll(store)).toHaveLength(30)
      await store.engine.commit({ checks: [], writes: [put('full')], nowMs: noonMs, durability: 'full' })
      await write(store, put('last'))
      await store.reopen()
      expect(await scanAll(store)).toHaveLength(32)
    },
    'relaxed',
  )

  storeTest('a commit may be relaxed where others are not', async (store) => {
    for (let i = 0; i < 30; i++) {
      const durability = i % 3 === 0 ? 'full' : 'relaxed'
      await store.engine.commit({ checks: [], writes: [put(`k${i}`)], nowMs: noonMs, durability })
    }
    expect(await scanAll(store)).toHaveLength(30)
    await store.reopen()
    expect(await scanAll(store)).toHaveLength(30)
  })
}

/** Writes JSON, bytes, expiries and tombstones of both causes; members of each kind are left. */
async function fill(store: Store, round: number): Promise<void> {
  for (let i = 0; i < 30; i++) {
    const value = i % 2 === 0 ? JSON.stringify({ round, text: 'é'.repeat(i * 10) }) : new Uint8Array(i * 20)
    await write(
      store,
      put(`k${i}`, value, { flags: i, expiresAtMs: i % 5 === 0 ? noonMs + i : null }),
      put(`r${round}-${i}`, String(i)),
      remove(`k${(i * 3) % 40}`, { cause: i % 4 === 0 ? 'expire' : 'delete' }),
    )
  }
}

interface State {
  readonly members: Member[]
  readonly changes: Change[]
  readonly next: string
  readonly stats: unknown
  readonly tombstone: unknown
}

async function stateOf(store: Store): Promise<State> {
  const { changes, next } = await changesAfter(store)
  const stats = await store.engine.collections()
  const tombstone = await store.engine.tombstone(collection, 'k6')
  const members = await scanAll(store)
  return { members: members.toSorted((a, b) => a.revision - b.revision), changes, next, stats, tombstone }
}
