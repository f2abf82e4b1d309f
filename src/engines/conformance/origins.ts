import { expect } from 'bun:test'
import fc from 'fast-check'
import { msToStamp } from '../../core/clock.ts'
import type { Delete, Put, Write } from '../../core/engine.ts'
import type { RemovalCause } from '../../core/member.ts'
import {
  byRevision,
  changesAfter,
  collection,
  inShort,
  noonMs,
  put,
  read,
  remove,
  renew,
  type Store,
  type Suite,
  write,
  writeAt,
} from './store.ts'

const noon = msToStamp(noonMs)

/** A put of another node, whose clock stamp is `count` after noon. */
function putFrom(node: string, count: number, key = 'a', value = `"${node} ${count}"`): Put {
  const origin = { node, clock: noon + count, createdAtMs: noonMs - 500 }
  return { ...put(key, value, { flags: 9, expiresAtMs: noonMs + 60_000 }), origin }
}

function removeFrom(node: string, count: number, key = 'a', cause: RemovalCause = 'delete'): Delete {
  return { ...remove(key, { cause }), origin: { node, clock: noon + count } }
}

/** Writes of other nodes: the newest write of a member wins, in whatever order they arrive. */
export function originPromises({ storeTest, phaseTest, differences }: Suite): void {
  phaseTest(
    'a version that was written elsewhere is kept with all that it says, wherever one looks',
    [
      async (store) => {
        const [written] = await writeAt(store, noonMs + 9, putFrom('n1', 3))
        expect(written).toMatchObject({ clock: noon + 3, createdAtMs: noonMs - 500, existed: false })
      },
      (store) => write(store, putFrom('n2', 4, 'b'), removeFrom('n2', 5, 'b', 'expire'), put('c')),
    ],
    async (store) => {
      const member = (await read(store, 'a'))!
      expect(member).toMatchObject({ clock: noon + 3, node: 'n1', createdAtMs: noonMs - 500, flags: 9 })
      expect(member).toMatchObject({ expiresAtMs: noonMs + 60_000, value: '"n1 3"' })
      const tombstone = (await store.engine.tombstone(collection, 'b'))!
      expect(tombstone).toMatchObject({ clock: noon + 5, node: 'n2', cause: 'expire' })
      const { changes } = await changesAfter(store)
      expect(changes.slice(0, 2)).toEqual([
        { type: 'put', collection, member },
        { type: 'expire', collection, tombstone },
      ])
      expect(changes.map(inShort)).toEqual(
        byRevision(store.reported)
          .filter((_, i) => i !== 1)
          .map(inShort),
      )
      const scanned = await store.engine.scan({
        ...{ collection, from: null, to: null, order: 'asc', limit: 9, keysOnly: false },
      })
      expect(scanned.members[0]).toEqual(member)
    },
  )

  phaseTest(
    'of writes from elsewhere the newer wins, of the same moment that of the larger node, and nothing else is done',
    [
      (store) => write(store, putFrom('n2', 10), putFrom('n2', 10, 'b'), removeFrom('n2', 10, 'c')),
      async (store) => {
        const before = await changesAfter(store)
        const reported = store.reported.length
        const older = ['a', 'b', 'c'].flatMap((key) => [
          putFrom('n3', 9, key),
          putFrom('n1', 10, key),
          removeFrom('n3', 9, key),
          removeFrom('n1', 10, key),
        ])
        for (const one of [...older, putFrom('n2', 10), removeFrom('n2', 10, 'c')]) {
          const [written] = await write(store, one)
          expect(written).toMatchObject({ revision: 0, createdAtMs: 0, clock: 0, existed: false })
          expect(written).toMatchObject({ superseded: true, stored: { node: 'n2', clock: noon + 10 } })
        }
        expect(await changesAfter(store)).toEqual(before)
        expect(store.reported).toHaveLength(reported)
      },
      async (store) => {
        const [a, b, c] = await write(
          store,
          putFrom('n3', 10),
          removeFrom('n1', 11, 'b'),
          putFrom('n3', 10, 'c'),
        )
        expect([a!.existed, b!.existed, c!.existed]).toEqual([true, true, false])
        for (const { superseded } of [a!, b!, c!]) expect(superseded).toBeUndefined()
      },
    ],
    async (store) => {
      expect(await read(store, 'a')).toMatchObject({ node: 'n3', clock: noon + 10, value: '"n3 10"' })
      expect(await read(store, 'b')).toBeNull()
      expect(await store.engine.tombstone(collection, 'b')).toMatchObject({ node: 'n1', clock: noon + 11 })
      expect(await read(store, 'c')).toMatchObject({ node: 'n3', value: '"n3 10"' })
      expect(await store.engine.tombstone(collection, 'c')).toBeNull()
      expect(await store.engine.collections()).toMatchObject([{ name: collection, members: 2 }])
    },
  )

  phaseTest(
    'a delete from elsewhere leaves a tombstone also where there was nothing, and an older put stays away',
    [
      async (store) => {
        const [written] = await write(store, removeFrom('n1', 5))
        expect(written).toMatchObject({ existed: false, clock: noon + 5 })
        expect(written!.revision).toBeGreaterThan(0)
      },
      async (store) => {
        const [older, newer] = await write(store, putFrom('n9', 4), removeFrom('n1', 7))
        expect(older).toMatchObject({ superseded: true })
        expect(newer!.revision).toBeGreaterThan(0)
      },
    ],
    async (store) => {
      expect(await read(store, 'a')).toBeNull()
      expect(await store.engine.tombstone(collection, 'a')).toMatchObject({ clock: noon + 7 })
      const { changes } = await changesAfter(store)
      expect(changes.map(inShort)).toEqual([inShort(store.reported.at(-1)!)])
      expect(await store.engine.collections()).toEqual([])
    },
  )

  phaseTest(
    'a version and its expiry have one origin, and the expiry wins once the version has expired here',
    [
      (store) => write(store, putFrom('n1', 5), putFrom('n1', 5, 'b'), putFrom('n1', 5, 'c')),
      async (store) => {
        const expiry = removeFrom('n1', 5, 'a', 'expire')
        const [early] = await writeAt(store, noonMs + 59_999, expiry)
        expect(early).toMatchObject({ superseded: true, stored: { node: 'n1', isTombstone: false } })
        const [done, again, version] = await writeAt(store, noonMs + 60_000, expiry, expiry, putFrom('n1', 5))
        expect(done).toMatchObject({ existed: false, clock: noon + 5 })
        expect(done!.superseded).toBeUndefined()
        expect([again!.superseded, version!.superseded]).toEqual([true, true])
        // The other node wrote the member again before it removed the expired first version.
        const [rewritten, late] = await write(
          store,
          putFrom('n1', 6, 'b'),
          removeFrom('n1', 5, 'b', 'expire'),
        )
        expect([rewritten!.existed, late!.superseded]).toEqual([true, true])
      },
      async (store) => {
        // This node removed the version, and another renewed it before.
        const { revision } = (await read(store, 'c'))!
        const swept = remove('c', { cause: 'expire', ifRevision: revision, ifExpiresAtMs: noonMs + 60_000 })
        const [gone] = await writeAt(store, noonMs + 60_000, swept)
        expect(gone!.clock).toBe(noon + 5)
        const tombstone = (await store.engine.tombstone(collection, 'c'))!
        expect(tombstone).toMatchObject({ clock: noon + 5, node: 'n1', cause: 'expire' })
        expect(tombstone.removedClock).toBeGreaterThanOrEqual(msToStamp(noonMs + 60_000))
        const renewed = { ...putFrom('n1', 5, 'c'), expiresAtMs: noonMs + 90_000 }
        const [back] = await writeAt(store, noonMs + 61_000, renewed)
        expect(back!.revision).toBeGreaterThan(gone!.revision)
      },
    ],
    async (store) => {
      expect(await store.engine.tombstone(collection, 'a')).toMatchObject({ cause: 'expire', node: 'n1' })
      expect(await read(store, 'b')).toMatchObject({ value: '"n1 6"' })
      expect(await read(store, 'c')).toMatchObject({ clock: noon + 5, expiresAtMs: noonMs + 90_000 })
    },
  )

  phaseTest(
    'a tombstone of this node has the origin of what expired, and the time at which it was left',
    [
      (store) => write(store, put('a', '1', { expiresAtMs: noonMs + 1000 }), putFrom('n1', 5, 'b')),
      async (store) => {
        for (const key of ['a', 'b']) {
          const { revision, clock } = (await read(store, key))!
          const [gone] = await writeAt(
            store,
            noonMs + 99_000,
            remove(key, { cause: 'expire', ifRevision: revision }),
          )
          expect(gone!.clock).toBe(clock)
        }
      },
      // A write that the other node made after the version, and before it knew of the expiry, wins.
      (store) => writeAt(store, noonMs + 99_000, putFrom('n2', 6, 'b')),
    ],
    async (store) => {
      const { node, clock, removedClock } = (await store.engine.tombstone(collection, 'a'))!
      expect(node).toBe('')
      expect(clock).toBeLessThan(msToStamp(noonMs + 1000))
      expect(removedClock).toBeGreaterThanOrEqual(msToStamp(noonMs + 99_000))
      expect(await read(store, 'b')).toMatchObject({ node: 'n2' })
      const [late] = await write(store, put('z'))
      expect(late!.clock).toBeGreaterThan(removedClock)
    },
  )

  phaseTest(
    'of one version the longest life holds, at the same revision, unless it was shortened: that is a version of its own',
    [
      (store) => write(store, putFrom('n1', 5), putFrom('n1', 5, 'b'), put('c', '"mine"')),
      async (store) => {
        const before = (await read(store, 'a'))!
        const longer = { ...putFrom('n1', 5), expiresAtMs: noonMs + 90_000 }
        const [renewed, again, shorter] = await write(store, longer, longer, putFrom('n1', 5))
        expect(renewed).toMatchObject({ revision: before.revision, clock: before.clock, existed: true })
        expect([again!.superseded, shorter!.superseded]).toEqual([true, true])
        expect(await read(store, 'a')).toEqual({ ...before, expiresAtMs: noonMs + 90_000 })
        expect(store.renewals.at(-1)!.member).toEqual({ ...before, expiresAtMs: noonMs + 90_000 })
      },
      async (store) => {
        for (const key of ['b', 'c']) {
          const { revision } = (await read(store, key))!
          await write(store, renew(key, revision, noonMs + 30_000), renew(key, revision, noonMs + 20_000))
        }
        const [late] = await write(store, { ...putFrom('n1', 5, 'b'), expiresAtMs: null })
        expect(late).toMatchObject({ superseded: true })
      },
    ],
    async (store) => {
      expect(await read(store, 'a')).toMatchObject({ expiresAtMs: noonMs + 90_000 })
      expect(await read(store, 'b')).toMatchObject({
        node: '',
        clock: noon + 7,
        expiresAtMs: noonMs + 20_000,
      })
      expect(await read(store, 'c')).toMatchObject({ node: '', expiresAtMs: noonMs + 20_000 })
      expect((await changesAfter(store)).changes).toHaveLength(3)
    },
  )

  phaseTest(
    'a write of this node after one from elsewhere is newer, however far that clock is ahead',
    [
      (store) => write(store, putFrom('n1', 100_000), removeFrom('n1', 200_000, 'b')),
      async (store) => {
        const [a, b] = await write(store, put('a', '"here"'), put('b', '"here"'))
        expect(a!.clock).toBeGreaterThan(noon + 200_000)
        expect(b!.clock).toBeGreaterThan(a!.clock)
        const [late] = await write(store, putFrom('n1', 200_000))
        expect(late).toMatchObject({ superseded: true })
      },
    ],
    async (store) => {
      expect(await read(store, 'a')).toMatchObject({ value: '"here"', node: '' })
      expect(await read(store, 'b')).toMatchObject({ value: '"here"', node: '' })
      // The clock stays ahead of observed stamps after a restart too.
      const [next] = await write(store, put('c'))
      expect(next!.clock).toBeGreaterThan((await read(store, 'b'))!.clock)
    },
  )

  phaseTest(
    'what this node wrote is its own also when it comes back from elsewhere',
    [
      (store) => write(store, put('a', '"mine"'), put('b', '"mine"')),
      async (store) => {
        const { engine } = store
        expect(engine.nodeId).toMatch(/^[a-z0-9]+$/)
        const { clock, createdAtMs, value } = (await read(store, 'a'))!
        const returned = { ...put('a', value), origin: { clock, createdAtMs, node: engine.nodeId } }
        expect((await write(store, returned))[0]).toMatchObject({ superseded: true })
        const lost = { ...put('lost', '1'), origin: { clock: clock + 9, createdAtMs, node: engine.nodeId } }
        await write(store, lost, removeFrom(engine.nodeId, 5_000, 'b'))
      },
    ],
    async (store) => {
      expect(await read(store, 'a')).toMatchObject({ value: '"mine"', node: '' })
      expect(await read(store, 'lost')).toMatchObject({ node: '' })
      expect(await store.engine.tombstone(collection, 'b')).toMatchObject({ node: '' })
    },
  )

  phaseTest(
    'to ties this node counts by its id',
    [
      (store) => write(store, put('small', '"mine"'), put('large', '"mine"')),
      async (store) => {
        const { nodeId } = store.engine
        const at = async (key: string) => (await read(store, key))!.clock - noon
        await write(
          store,
          putFrom('0', await at('small'), 'small'),
          putFrom(`${nodeId}z`, await at('large'), 'large'),
        )
      },
    ],
    async (store) => {
      expect(await read(store, 'small')).toMatchObject({ value: '"mine"', node: '' })
      expect(await read(store, 'large')).toMatchObject({ node: `${store.engine.nodeId}z` })
    },
  )

  phaseTest(
    'a renewal keeps the origin of the version, and conditions hold for deletes from elsewhere too',
    [
      (store) => write(store, putFrom('n1', 5), putFrom('n1', 5, 'b')),
      async (store) => {
        const { revision } = (await read(store, 'a'))!
        await write(store, {
          op: 'renew',
          collection,
          key: 'a',
          expiresAtMs: noonMs + 90_000,
          ifRevision: revision,
        })
        const spared = { ...removeFrom('n2', 9, 'a', 'expire'), ifExpiresAtMs: noonMs + 60_000 }
        const other = { ...removeFrom('n2', 9, 'b'), ifRevision: revision - 1 }
        for (const written of await write(store, spared, other)) {
          expect(written).toEqual({ revision: 0, createdAtMs: 0, clock: 0, existed: false })
        }
      },
    ],
    async (store) => {
      const member = { node: 'n1', clock: noon + 5, createdAtMs: noonMs - 500 }
      expect(await read(store, 'a')).toMatchObject({ ...member, expiresAtMs: noonMs + 90_000 })
      expect(await read(store, 'b')).toMatchObject(member)
    },
  )

  phaseTest(
    'a version that has expired here is still there for newer writes to win over, and for older to lose to',
    [
      (store) => write(store, putFrom('n1', 5), putFrom('n1', 5, 'b')),
      async (store) => {
        const laterMs = noonMs + 60_000
        const [lost, won] = await writeAt(store, laterMs, putFrom('n1', 4), putFrom('n1', 6, 'b'))
        expect([lost!.superseded, won!.superseded]).toEqual([true, undefined])
        expect(won).toMatchObject({ existed: false, createdAtMs: noonMs - 500 })
      },
    ],
    async (store) => {
      expect(await read(store, 'a')).toMatchObject({ value: '"n1 5"' })
      expect(await read(store, 'b')).toMatchObject({ value: '"n1 6"' })
    },
  )

  storeTest('the same writes from elsewhere result in the same state in any order', async (store) => {
    let round = 0
    await fc.assert(
      fc.asyncProperty(foreignWrites(store.engine.nodeId), async ({ writes, order, groups, restarts }) => {
        const names = [`given${++round}`, `shuffled${round}`]
        const shuffled = order.map((i) => writes[i % writes.length]!)
        // All writes arrive in two orders, some of them twice.
        const orders = [writes, [...shuffled, ...writes.toReversed()]]
        for (const [i, name] of names.entries()) {
          let at = 0
          for (const group of [...groups, Number.MAX_SAFE_INTEGER]) {
            const some = orders[i]!.slice(at, at + group).map((one) => ({ ...one, collection: name }))
            at += group
            if (differences.commitSpans === 'line') for (const one of some) await write(store, one)
            else await write(store, ...some)
            if (restarts && at === group) await store.reopen()
          }
        }
        const [given, other] = await Promise.all(names.map((name) => stateOf(store, name)))
        expect(other).toEqual(given)
      }),
      { numRuns: differences.isDurable ? 15 : 100 },
    )
  })
}

/**
 * Random writes of a few nodes to a few members. Only a version, with expiries before and after the time of the commits,
 * and its expiration share an origin.
 */
function foreignWrites(nodeId: string) {
  const one = fc.record({
    node: fc.constantFrom('n1', 'n2', 'zz', nodeId),
    count: fc.nat(6),
    key: fc.constantFrom('a', 'b'),
    kind: fc.constantFrom('put', 'put', 'delete', 'expire'),
    lifeMs: fc.constantFrom(-1, 60_000, 90_000, null),
  })
  return fc.record({
    writes: fc.array(one, { minLength: 1, maxLength: 14, size: 'max' }).map((all) => all.map(foreignWrite)),
    order: fc.array(fc.nat(100), { maxLength: 14, size: 'max' }),
    groups: fc.array(fc.integer({ min: 1, max: 4 }), { maxLength: 6 }),
    restarts: fc.boolean(),
  })
}

interface Foreign {
  readonly node: string
  readonly count: number
  readonly key: string
  readonly kind: string
  readonly lifeMs: number | null
}

/** Deletes have stamps that no put has, so that no two different writes share an origin. */
function foreignWrite({ node, count, key, kind, lifeMs }: Foreign): Write {
  const expiresAtMs = lifeMs === null ? null : noonMs + lifeMs
  if (kind === 'put') return { ...putFrom(node, count * 2, key), expiresAtMs }
  if (kind === 'expire') return removeFrom(node, count * 2, key, 'expire')
  return removeFrom(node, count * 2 + 1, key)
}

async function stateOf({ engine }: Store, of: string): Promise<unknown[]> {
  const states: unknown[] = []
  for (const key of ['a', 'b']) {
    const found = (await engine.read(of, key)) ?? (await engine.tombstone(of, key))
    if (found === null) continue
    states.push({ ...found, revision: 0, removedClock: 0 })
  }
  return states
}
