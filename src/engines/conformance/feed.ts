import { expect } from 'bun:test'
import { stepLimit } from '../../../test/support/steps.ts'
import type { FeedCursor, VersionRef } from '../../core/engine.ts'
import { maxPageBytes } from '../../core/limits.ts'
import { type Change, keyOf, revisionOf } from '../../core/member.ts'
import {
  attempt,
  changesAfter,
  check,
  collection,
  expectCode,
  inShort,
  nextTick,
  noonMs,
  put,
  read,
  remove,
  type Store,
  type Suite,
  write,
  writeAt,
} from './store.ts'

/** Changes: the feed, onCommit, tombstones, expiring members, and counts. */
export function feedPromises({ storeTest, phaseTest }: Suite): void {
  phaseTest(
    'the feed has the latest state of every member, in the order of revisions',
    [
      (store) => write(store, put('a', '1'), put('b', '1'), put('c', '1'), put('d', '1')),
      (store) => write(store, put('b', '2'), remove('c'), put('e', '1'), put('e', '2')),
      (store) => write(store, put('a', '3'), remove('d', { cause: 'expire' }), remove('missing')),
    ],
    async (store) => {
      const { changes } = await changesAfter(store)
      expect(changes.map((change) => `${change.type} ${keyOf(change)}`)).toEqual([
        'put b',
        'delete c',
        'put e',
        'put a',
        'expire d',
      ])
      expectLatestOf(changes, store.reported)
      for (const change of changes) {
        if (change.type === 'put') expect(change.member).toEqual((await read(store, change.member.key))!)
        else
          expect(change.tombstone).toEqual((await store.engine.tombstone(collection, change.tombstone.key))!)
        expect(change.collection).toBe(collection)
      }
    },
  )

  phaseTest(
    'the feed resumes after any change with nothing lost, by pages of any size',
    [0, 1, 2].map((step) => async (store: Store) => {
      for (let i = 0; i < 25; i++) {
        const n = step * 25 + i
        await write(store, put(`k${n % 50}`, String(n)), put(`own${n}`), remove(`k${(n * 7) % 50}`))
      }
    }),
    async (store) => {
      const { changes, next } = await changesAfter(store)
      expectLatestOf(changes, store.reported)
      for (const limit of [1, 3, 64, changes.length]) {
        expect((await changesAfter(store, '', limit)).changes).toEqual(changes)
      }
      // The cursor after a change equals `next` of a page that ends with it.
      let cursor = ''
      for (let i = 0; i < changes.length; i++) {
        const page = await store.engine.changes(cursor, 1)
        expect(page.changes).toEqual([changes[i]!])
        cursor = page.next
        if (i % 10 === 0) expect((await changesAfter(store, cursor, 7)).changes).toEqual(changes.slice(i + 1))
      }
      expect(await store.engine.changes(next, 10)).toMatchObject({ changes: [], next, atEnd: true })
      await store.reopen()
      expect(await store.engine.changes(next, 10)).toMatchObject({ changes: [], next, atEnd: true })
      await write(store, put('later'))
      expect((await changesAfter(store, next)).changes.map(keyOf)).toEqual(['later'])
    },
  )

  storeTest('a cursor that is none of the feed is refused', async (store) => {
    await write(store, put('a'))
    for (const cursor of ['x', ' ', '-1', '!', '\0', 'é', 'x'.repeat(10_000)]) {
      await expectCode((async () => store.engine.changes(cursor, 10))(), 'invalid_cursor')
    }
  })

  phaseTest(
    'pages of the feed are of any size, however much was overwritten',
    [
      (store) => write(store, ...Array.from({ length: 60 }, (_, i) => put(`k${i}`, '1'))),
      (store) => write(store, ...Array.from({ length: 60 }, (_, i) => put(`k${i}`, '2'))),
    ],
    async (store) => {
      for (const limit of [1, 10, 59, 60, 61]) {
        const { changes } = await changesAfter(store, '', limit)
        expect(changes).toHaveLength(60)
      }
    },
  )

  const others = Array.from({ length: 40 }, (_, i) => put(`o${i}`, '1', { collection: 'others' }))
  phaseTest(
    'the feed of a collection has its changes and no others, by pages of any size',
    [
      (store) => write(store, put('a'), ...others, put('b'), put('c', '1', { collection: 'third' })),
      (store) => write(store, ...others, put('c'), remove('b'), ...others.slice(0, 9), put('d')),
      (store) => write(store, put('a', '2'), ...others, remove('d', { cause: 'expire' })),
    ],
    async (store) => {
      const all = (await changesAfter(store)).changes
      const cursors = await cursorsOf(store)
      for (const of of [collection, 'others', 'third', 'none']) {
        const own = all.filter((change) => change.collection === of)
        for (const limit of [1, 2, 7, 100]) {
          const { changes, next } = await changesAfter(store, '', limit, of)
          expect(changes).toEqual(own)
          expect(next).toBe(store.engine.head())
        }
        for (const [i, after] of cursors.entries()) {
          const rest = all.slice(i + 1).filter((one) => one.collection === of)
          expect((await changesAfter(store, after, 5, of)).changes).toEqual(rest)
        }
      }
    },
  )

  phaseTest(
    'the feed of one member has its latest change, where that is after the cursor, and nothing else',
    [
      (store) => write(store, put('a'), put('b'), put('c'), put('a', '1', { collection: 'others' })),
      (store) => write(store, put('b', '2'), remove('c'), put('d', '1', { expiresAtMs: noonMs + 9 })),
      (store) => write(store, put('e'), remove('e', { cause: 'expire' }), put('a', '2')),
    ],
    async (store) => {
      const all = (await changesAfter(store)).changes
      const cursors = ['', '0', ...(await cursorsOf(store))]
      for (const key of ['a', 'b', 'c', 'd', 'e', 'never']) {
        for (const [i, cursor] of cursors.entries()) {
          const rest = all.slice(Math.max(0, i - 1))
          const own = rest.filter((change) => change.collection === collection && keyOf(change) === key)
          const page = await store.engine.changes(cursor, 10, { collection, key })
          expect(page.changes).toEqual(own)
          expect([page.next, page.atEnd]).toEqual([store.engine.head(), true])
          if (own.length === 0) continue
          const after = await store.engine.changes(page.cursorAfter(0), 10, { collection, key })
          expect(after.changes).toEqual([])
        }
      }
    },
  )

  phaseTest(
    'a cursor has seen the versions up to it, and no others',
    [
      (store) => write(store, put('a'), put('b'), put('a', '2'), remove('b')),
      (store) => write(store, put('c'), put('d', '1', { collection: 'others' }), put('c', '2'), put('e')),
    ],
    async (store) => {
      const { changes } = await changesAfter(store)
      const cursors = await cursorsOf(store)
      for (const [i, cursor] of cursors.entries()) {
        for (const [j, change] of changes.entries())
          expect(store.engine.hasSeen(cursor, versionOf(change))).toBe(j <= i)
      }
      for (const change of store.reported) {
        expect(store.engine.hasSeen(store.engine.head(), versionOf(change))).toBe(true)
        for (const beginning of ['', '0'])
          expect(store.engine.hasSeen(beginning, versionOf(change))).toBe(false)
      }
      const head = store.engine.head()
      await write(store, put('a', '3'))
      expect(store.engine.hasSeen(head, versionOf(store.reported.at(-1)!))).toBe(false)
      expect(store.engine.hasSeen(store.engine.head(), versionOf(store.reported.at(-1)!))).toBe(true)
    },
  )

  storeTest('a reader of the feed meets everything while it is written', async (store) => {
    const latest = new Map<string, number>()
    let running = true
    async function follow(): Promise<void> {
      let cursor = ''
      let last = 0
      for (const step = stepLimit('following the feed', 100_000); ; step()) {
        const done = !running
        const page = await store.engine.changes(cursor, 9)
        for (const change of page.changes) {
          // Of several lines, one can be read before a commit to it, and another after a later commit to that.
          const before = store.commitSpans === 'line' ? latest.get(keyOf(change)) : last
          last = revisionOf(change)
          expect(last).toBeGreaterThan(before ?? 0)
          latest.set(keyOf(change), last)
        }
        cursor = page.next
        if (page.atEnd && done) return
        // A tick takes so little time that a slow disk would use up the steps.
        if (page.atEnd) await Bun.sleep(1)
      }
    }
    const following = follow()
    for (let i = 0; i < 200; i++) {
      await write(
        store,
        put(`k${i % 90}`, JSON.stringify('x'.repeat(i))),
        i % 3 === 0 ? remove(`k${i % 70}`) : put(`l${i}`),
      )
    }
    running = false
    await following
    const reported = new Map(store.reported.map((change) => [keyOf(change), revisionOf(change)]))
    expect([...latest].toSorted()).toEqual([...reported].toSorted())
  })

  storeTest('a page of the feed with large values ends early', async (store) => {
    await writeLarge(store, 0, 12)
    await store.reopen()
    await writeLarge(store, 12, 24)
    const { changes } = await store.engine.changes('', 100)
    const bytes = changes.reduce((sum, one) => sum + (one.type === 'put' ? one.member.value.length : 0), 0)
    expect(bytes).toBeLessThan(maxPageBytes + 2 * largeBytes)
    expect(changes.length).toBeGreaterThan(0)
    expect((await changesAfter(store, '', 100)).changes).toHaveLength(24)
  })

  storeTest('every commit is reported once, in order, before it resolves', async (store) => {
    const commits = Array.from({ length: 60 }, async (_, i) => {
      const result = await attempt(store, i % 10 === 9 ? [check('same', null)] : [], [
        put('same', String(i)),
        put('same', `${i}!`),
      ])
      if (!result.ok) return []
      const revisions = result.written.map(({ revision }) => revision).filter((revision) => revision > 0)
      expect(store.reported.map(revisionOf)).toEqual(expect.arrayContaining(revisions))
      return revisions
    })
    const written = (await Promise.all(commits)).flat()
    expect(written).toHaveLength(2 * 54)
    expect(store.reported.map(revisionOf)).toEqual(written.toSorted((a, b) => a - b))
  })

  storeTest('no reader sees a change that was not reported', async (store) => {
    for (let i = 1; i <= 60; i++) {
      let resolved = false
      const writing = write(store, put('a', String(i))).then(() => {
        resolved = true
      })
      while (!resolved) {
        const member = await read(store, 'a')
        const { changes } = await store.engine.changes('', 10)
        for (const revision of [member?.revision ?? 0, ...changes.map(revisionOf)]) {
          if (revision > 0) expect(store.reported.map(revisionOf)).toContain(revision)
        }
        await nextTick()
      }
      await writing
    }
  })

  storeTest('what is reported is what was written', async (store) => {
    const [a] = await write(
      store,
      put('a', '{"n": 1}', { flags: 4, expiresAtMs: noonMs + 1, contentType: 'x/y+json' }),
    )
    const [gone] = await write(store, remove('a', { cause: 'expire' }))
    expect(store.reported).toEqual([
      {
        type: 'put',
        collection,
        member: {
          key: 'a',
          value: '{"n": 1}',
          revision: a!.revision,
          createdAtMs: noonMs,
          clock: a!.clock,
          node: '',
          expiresAtMs: noonMs + 1,
          contentType: 'x/y+json',
          flags: 4,
        },
      },
      {
        type: 'expire',
        collection,
        tombstone: {
          key: 'a',
          revision: gone!.revision,
          cause: 'expire',
          clock: a!.clock,
          node: '',
          removedClock: a!.clock + 1,
        },
      },
    ])
  })

  phaseTest(
    'a tombstone says how a member ended, until it is put again',
    [
      (store) => write(store, put('a'), put('b'), put('c'), put('alive')),
      (store) => write(store, remove('a'), remove('b', { cause: 'expire' }), remove('c')),
      (store) => write(store, put('c', '2')),
    ],
    async (store) => {
      const { engine } = store
      expect(await engine.tombstone(collection, 'a')).toMatchObject({ key: 'a', cause: 'delete', node: '' })
      expect(await engine.tombstone(collection, 'b')).toMatchObject({ key: 'b', cause: 'expire' })
      for (const key of ['c', 'alive', 'never']) expect(await engine.tombstone(collection, key)).toBeNull()
      expect(await engine.tombstone('other', 'a')).toBeNull()
      const { changes } = await changesAfter(store)
      expect(changes.map((change) => `${change.type} ${keyOf(change)}`)).toEqual([
        'put alive',
        'delete a',
        'expire b',
        'put c',
      ])
    },
  )

  phaseTest(
    'a tombstone in the tables gives way to a put in the log, and the other way round',
    [
      (store) => write(store, put('a'), put('b'), remove('a')),
      (store) => write(store, put('a', '2'), remove('b')),
    ],
    async (store) => {
      expect(await store.engine.tombstone(collection, 'a')).toBeNull()
      expect(await store.engine.tombstone(collection, 'b')).toMatchObject({ cause: 'delete' })
      const { changes } = await changesAfter(store)
      expect(changes.map((change) => `${change.type} ${keyOf(change)}`)).toEqual(['put a', 'delete b'])
    },
  )

  phaseTest(
    'what expires is found, the earliest first',
    [
      (store) =>
        write(
          store,
          put('late', '1', { expiresAtMs: noonMs + 400 }),
          put('first', '1', { expiresAtMs: noonMs + 100 }),
          put('sooner', '1', { expiresAtMs: noonMs + 900 }),
          put('never'),
          put('saved', '1', { expiresAtMs: noonMs + 50 }),
          put('deleted', '1', { expiresAtMs: noonMs + 50 }),
          put('other', '1', { expiresAtMs: noonMs + 150, collection: 'other' }),
        ),
      (store) =>
        write(
          store,
          put('second', '1', { expiresAtMs: noonMs + 200 }),
          put('sooner', '1', { expiresAtMs: noonMs + 300 }),
          put('saved'),
          remove('deleted'),
          put('later', '1', { expiresAtMs: noonMs + 401 }),
        ),
    ],
    async (store) => {
      const due = async (atMs: number, limit: number) =>
        (await store.engine.expiring(atMs, limit)).map(({ key }) => key)
      const order = ['first', 'other', 'second', 'sooner', 'late', 'later']
      expect(await due(noonMs + 1000, 100)).toEqual(order)
      expect(await due(noonMs + 400, 100)).toEqual(order.slice(0, -1))
      expect(await due(noonMs + 399, 100)).toEqual(order.slice(0, -2))
      expect(await due(noonMs + 99, 100)).toEqual([])
      for (let limit = 1; limit <= 6; limit++)
        expect(await due(noonMs + 1000, limit)).toEqual(order.slice(0, limit))
      const [first, other] = await store.engine.expiring(noonMs + 1000, 2)
      const { revision, expiresAtMs } = (await read(store, 'first'))!
      expect(first).toEqual({ collection, key: 'first', revision, expiresAtMs: expiresAtMs! })
      expect(other).toMatchObject({ collection: 'other' })
      // Reading does not remove them.
      expect(await due(noonMs + 1000, 100)).toEqual(order)
    },
  )

  phaseTest(
    'what expires is found behind many that were overwritten',
    [
      (store) =>
        write(store, ...Array.from({ length: 50 }, (_, i) => put(`k${i}`, '1', { expiresAtMs: noonMs + i }))),
      (store) => write(store, ...Array.from({ length: 49 }, (_, i) => put(`k${i}`, '2'))),
    ],
    async (store) => expect(await store.engine.expiring(noonMs + 100, 3)).toMatchObject([{ key: 'k49' }]),
  )

  phaseTest(
    'counts and bytes of collections are exact',
    [
      (store) =>
        write(store, put('a', '"é"'), put('bé', new Uint8Array(10)), put('a\0', '1', { collection: 'nul' })),
      (store) => write(store, put('a', '"longer"'), put('b', '1', { collection: 'emptied' })),
      (store) => writeAt(store, noonMs, put('over', '1', { expiresAtMs: noonMs + 1 }), remove('missing')),
      (store) =>
        writeAt(store, noonMs + 1, put('over', '12'), remove('b', { collection: 'emptied' }), remove('bé')),
      (store) => write(store, put('bé', '123456789'), put('x\0y', '"x"', { collection: 'nul' })),
    ],
    async (store) => {
      const collections = await store.engine.collections()
      expect(collections.toSorted((a, b) => (a.name < b.name ? -1 : 1))).toEqual([
        { name: 'nul', members: 2, bytes: 2 + 1 + 3 + 3 },
        { name: collection, members: 3, bytes: 1 + 8 + 4 + 2 + 3 + 9 },
      ])
    },
  )

  phaseTest(
    'a collection comes with its first member and goes with its last',
    [
      (store) => write(store, put('a'), put('b', '1', { collection: 'brief' })),
      (store) => write(store, remove('b', { collection: 'brief' })),
      (store) => write(store, remove('a')),
    ],
    async (store) => {
      expect(await store.engine.collections()).toEqual([])
      await write(store, put('c', '1', { collection: 'brief' }))
      expect(await store.engine.collections()).toEqual([{ name: 'brief', members: 1, bytes: 2 }])
    },
  )
}

function versionOf(change: Change): VersionRef {
  return { collection: change.collection, key: keyOf(change), revision: revisionOf(change) }
}

/** Returns the cursor after each change of the feed. */
async function cursorsOf({ engine }: Store): Promise<FeedCursor[]> {
  const cursors: FeedCursor[] = []
  for (let next = ''; ; ) {
    const page = await engine.changes(next, 3)
    cursors.push(...page.changes.map((_, i) => page.cursorAfter(i)))
    next = page.next
    if (page.atEnd) return cursors
  }
}

/** Expects that the changes are the last reported change of each key, in the order of revisions. */
function expectLatestOf(changes: readonly Change[], reported: readonly Change[]): void {
  const latest = new Map<string, Change>()
  for (const change of reported) latest.set(keyOf(change), change)
  const expected = [...latest.values()].toSorted((a, b) => revisionOf(a) - revisionOf(b))
  expect(changes.map(inShort)).toEqual(expected.map(inShort))
}

const largeBytes = 1024 * 1024

async function writeLarge(store: Store, from: number, to: number): Promise<void> {
  for (let i = from; i < to; i++) await write(store, put(`k${i}`, new Uint8Array(largeBytes)))
}
