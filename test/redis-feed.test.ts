import { expect } from 'bun:test'
import type { Engine, Write } from '../src/core/engine.ts'
import { type Change, keyOf, revisionOf } from '../src/core/member.ts'
import { needing } from './support/needs.ts'
import { type RedisServer, startRedis } from './support/redis-cluster.ts'
import { openTestRedis } from './support/redis-engine.ts'

/** The feed of one collection in a store that has many changes of others, of which a page examines only so many. */

const { test, beforeAll, afterAll } = needing('redis')

let server: RedisServer & { stop(): Promise<void> }
beforeAll(async () => {
  server = await startRedis({ config: { appendfsync: 'no' } })
})
afterAll(() => server?.stop())

function put(collection: string, key: string): Write {
  const about = { value: '1', contentType: 'application/json', flags: 0, expiresAtMs: null }
  return { op: 'put', collection, key, ...about }
}
function remove(collection: string, key: string): Write {
  return { op: 'delete', collection, key, cause: 'delete' }
}

/** Reads the feed of a collection to its end. */
async function feedOf(engine: Engine, collection: string, limit: number) {
  const changes: Change[] = []
  let after = ''
  for (let pages = 1; ; pages++) {
    const page = await engine.changes(after, limit, { collection })
    changes.push(...page.changes)
    if (page.atEnd) return { changes, pages, next: page.next }
    after = page.next
  }
}

test('all changes of a collection are found among those of another, in order, by pages of any size', async () => {
  const engine = await openTestRedis([server], { prefix: 'feed', lines: 1, onCommit() {} })
  try {
    const count = 12_000
    for (let from = 0; from < count; from += 1000) {
      const writes = Array.from({ length: 1000 }, (_, i) => {
        const n = from + i
        return put(n % 300 === 0 ? 'cold' : 'hot', `k${n}`)
      })
      await engine.commit({ checks: [], writes, nowMs: Date.now() })
    }
    // Tombstones are in a list of their own.
    const gone = [
      remove('cold', 'k300'),
      ...Array.from({ length: 5500 }, (_, i) => remove('hot', `k${i + 1}`)),
    ]
    await engine.commit({ checks: [], writes: gone, nowMs: Date.now() })
    await engine.commit({
      checks: [],
      writes: [remove('cold', 'k900'), put('cold', 'k0')],
      nowMs: Date.now(),
    })

    const all = await feedOf(engine, 'cold', 1000)
    const keys = Array.from({ length: 40 }, (_, i) => `k${300 * i}`).filter((key) => {
      return !['k0', 'k300', 'k900'].includes(key)
    })
    expect(all.changes.map(keyOf)).toEqual([...keys, 'k300', 'k900', 'k0'])
    expect(all.changes.map(({ type }) => type).slice(-3)).toEqual(['delete', 'delete', 'put'])
    const revisions = all.changes.map(revisionOf)
    expect(revisions).toEqual(revisions.toSorted((a, b) => a - b))
    // A page is short where much of other collections was examined.
    expect(all.pages).toBeGreaterThan(1)
    expect(all.next).toBe(engine.head())
    for (const limit of [1, 7, 40]) expect((await feedOf(engine, 'cold', limit)).changes).toEqual(all.changes)
  } finally {
    await engine.close()
  }
})
