import { afterEach, describe, expect, test } from 'bun:test'
import { newFolder } from '../../test/support/engine.ts'
import { lateEngine } from '../../test/support/late-engine.ts'
import { linedEngine } from '../../test/support/lined-engine.ts'
import { manualTimers } from '../../test/support/manual-timers.ts'
import { openMemory } from '../engines/memory/engine.ts'
import { openSqlite } from '../engines/sqlite/engine.ts'
import { msToStamp } from './clock.ts'
import type { Conflict } from './conflict-records.ts'
import { type Database, openDatabase } from './database.ts'
import type { Engine, OnCommit } from './engine.ts'
import type { ForeignWrite } from './foreign-write.ts'
import { maxConflicts, maxConflictValueBytes } from './limits.ts'
import type { Origin } from './origin.ts'

/** What is recorded of conflicts: writes of another node, all of which are said not to know the stored version. */

const noonMs = Date.UTC(2026, 5, 1, 12)
const dayMs = 24 * 3_600_000
const clock = { nowMs: noonMs }
const opened: Database[] = []
afterEach(async () => {
  for (const db of opened.splice(0)) await db.close()
  clock.nowMs = noonMs
})

const engines: Record<string, (onCommit: OnCommit) => Promise<Engine>> = {
  memory: async (onCommit) => openMemory({ onCommit }),
  late: async (onCommit) => lateEngine(openMemory({ onCommit })),
  lines: async (onCommit) => lateEngine(linedEngine({ lines: 16, spans: 'line', onCommit })),
  sqlite: (onCommit) => openSqlite({ dir: newFolder(), durability: 'relaxed', onCommit }),
}

async function open(openEngine = engines.memory!): Promise<Database> {
  const db = await openDatabase({
    open: (onCommit) => openEngine(onCommit),
    cacheBytes: 1 << 20,
    now: () => clock.nowMs,
    timers: manualTimers(),
    onError(error) {
      throw error
    },
  })
  opened.push(db)
  return db
}

const json = (value: string, expiresAtMs: number | null = null) => ({
  value,
  contentType: 'application/json',
  flags: 0,
  expiresAtMs,
})

const at = (ms: number, node: string): Origin => ({ clock: msToStamp(noonMs + ms), node })

function foreignPut(
  key: string,
  origin: Origin,
  content: Partial<ReturnType<typeof json>> = {},
): ForeignWrite {
  return {
    op: 'put',
    collection: 'c',
    key,
    ...json('"theirs"'),
    ...content,
    origin: { ...origin, createdAtMs: noonMs },
  }
}

const foreignDelete = (key: string, origin: Origin, cause: 'delete' | 'expire' = 'delete'): ForeignWrite => ({
  ...{ op: 'delete', collection: 'c', key, cause, origin },
})

/** Replicates, and returns the conflicts that were reported. */
async function receive(db: Database, ...writes: ForeignWrite[]): Promise<Conflict[]> {
  const reported: Conflict[] = []
  await db.replicate(writes, {
    isConflict: () => true,
    onConflict: (conflict) => reported.push(conflict),
  })
  return reported
}

async function listed(db: Database): Promise<readonly Conflict[]> {
  const all: Conflict[] = []
  let before: string | null = null
  do {
    const page = await db.conflicts({ collection: null, before, limit: 10_000 })
    all.push(...page.conflicts)
    before = page.next
  } while (before !== null)
  return all
}

describe.each(Object.keys(engines))('on %s', (name) => {
  test('a stored version that is replaced is recorded with everything, as it was', async () => {
    const db = await open(engines[name])
    const { revision } = await db.put('c', 'k', { ...json('{ "a":\n 1.0 }', noonMs + 5000), flags: 7 })
    const reported = await receive(db, foreignPut('k', at(1000, 'n2')))
    const [conflict, ...others] = await listed(db)
    expect(others).toEqual([])
    expect(conflict).toEqual({
      collection: 'c',
      key: 'k',
      seenMs: noonMs,
      kept: at(1000, 'n2'),
      lost: {
        type: 'put',
        ...at(0, db.nodeId),
        revision,
        content: {
          createdAtMs: noonMs,
          expiresAtMs: noonMs + 5000,
          contentType: 'application/json',
          flags: 7,
          bytes: 13,
          value: '{ "a":\n 1.0 }',
        },
      },
    })
    expect(reported).toEqual([conflict!])
    expect(await db.get('c', 'k')).toMatchObject({ value: '"theirs"' })
  })

  test('so is a version that arrives too late, and bytes as bytes', async () => {
    const db = await open(engines[name])
    await db.put('c', 'k', json('"ours"'))
    const value = new Uint8Array([0, 255, 10])
    await receive(db, foreignPut('k', at(-1000, 'n2'), { value: value as never, contentType: 'image/png' }))
    const [conflict] = await listed(db)
    expect(conflict).toMatchObject({
      kept: at(0, db.nodeId),
      lost: {
        type: 'put',
        ...at(-1000, 'n2'),
        revision: null,
        content: { contentType: 'image/png', bytes: 3 },
      },
    })
    const { lost } = conflict!
    const kept = lost.type === 'put' ? lost.content?.value : null
    expect(new Uint8Array(Buffer.from(kept as Uint8Array))).toEqual(value)
    expect(await db.get('c', 'k')).toMatchObject({ value: '"ours"' })
  })

  test('a delete that loses is recorded, and a version that loses to a delete', async () => {
    const db = await open(engines[name])
    for (const key of ['deleted', 'late', 'kept', 'removed']) await db.put('c', key, json(`"${key}"`))
    for (const key of ['deleted', 'late']) await db.delete('c', key)
    clock.nowMs += 10_000
    await receive(
      db,
      foreignPut('deleted', at(5000, 'n2')),
      foreignPut('late', at(-5000, 'n2')),
      foreignDelete('kept', at(-5000, 'n2')),
      foreignDelete('removed', at(5000, 'n2')),
    )
    const found = new Map((await listed(db)).map((one) => [one.key, one]))
    expect([...found.keys()].toSorted()).toEqual(['deleted', 'kept', 'late', 'removed'])
    expect(found.get('deleted')!.lost).toMatchObject({ type: 'delete', node: db.nodeId })
    expect(found.get('late')!.lost).toMatchObject({ type: 'put', node: 'n2', content: { value: '"theirs"' } })
    expect(found.get('kept')!.lost).toEqual({ type: 'delete', ...at(-5000, 'n2'), revision: null })
    expect(found.get('removed')!.lost).toMatchObject({ type: 'put', content: { value: '"removed"' } })
  })

  test('what is no loss is no conflict: both deleted it, both wrote the same, it had expired, it is the same node', async () => {
    const db = await open(engines[name])
    for (const key of ['deleted', 'deleted late']) {
      await db.put('c', key, json('1'))
      await db.delete('c', key)
    }
    for (const key of ['same', 'same late']) await db.put('c', key, json('{"a":1}'))
    await db.put('c', 'expired', json('1', noonMs + 10))
    await db.put('c', 'late', json('1'))
    await receive(db, foreignPut('own', at(1000, 'n2')))
    clock.nowMs += 2000
    const reported = await receive(
      db,
      foreignDelete('deleted', at(1000, 'n2')),
      foreignDelete('deleted late', at(-1000, 'n2')),
      foreignPut('same', at(1000, 'n2'), json('{"a":1}')),
      foreignPut('same late', at(-1000, 'n2'), json('{"a":1}')),
      foreignPut('expired', at(1000, 'n2')),
      foreignPut('late', at(-1000, 'n2'), { expiresAtMs: noonMs }),
      foreignDelete('late', at(-2000, 'n2'), 'expire'),
      foreignPut('own', at(2000, 'n2')),
      foreignPut('new', at(1000, 'n2')),
    )
    expect([reported, await listed(db)]).toEqual([[], []])
    // What is almost the same is not the same.
    await receive(
      db,
      foreignPut('same', at(1500, 'n3'), json('{"a":2}')),
      foreignPut('same late', at(1500, 'n3'), json('{"a":1}', noonMs + dayMs)),
    )
    expect((await listed(db)).map(({ key }) => key).toSorted()).toEqual(['same', 'same late'])
  })

  test('what the watch does not call a conflict is none', async () => {
    const db = await open(engines[name])
    await db.put('c', 'k', json('1'))
    const asked: unknown[] = []
    await db.replicate([foreignPut('k', at(1000, 'n2'))], {
      isConflict: (write, { clock: _, ...stored }) => asked.push([write.key, stored]) === 0,
      onConflict: () => expect.unreachable(),
    })
    expect(asked[0]).toEqual([
      'k',
      {
        type: 'put',
        head: expect.anything(),
        ...{ node: db.nodeId, revision: expect.any(Number), isTombstone: false },
      },
    ])
    expect(await listed(db)).toEqual([])
  })

  test('a conflict that is seen again has one record, and of a member each lost version has one', async () => {
    const db = await open(engines[name])
    await db.put('c', 'k', json('"ours"'))
    for (let i = 0; i < 3; i++) await receive(db, foreignPut('k', at(-1000, 'n2')))
    await receive(db, foreignPut('k', at(-2000, 'n2')), foreignPut('k', at(-1000, 'n3')))
    expect((await listed(db)).map(({ lost }) => [lost.node, lost.clock])).toEqual(
      [
        ['n3', at(-1000, '').clock],
        ['n2', at(-1000, '').clock],
        ['n2', at(-2000, '').clock],
      ]
        .toSorted(([, a], [, b]) => Number(b) - Number(a))
        .map((one) => expect.arrayContaining(one)),
    )
  })

  test('a value that is too large is left out, and the rest is there', async () => {
    const db = await open(engines[name])
    const large = JSON.stringify('x'.repeat(maxConflictValueBytes - 1))
    const fits = JSON.stringify('x'.repeat(maxConflictValueBytes - 2))
    await db.put('c', 'large', json(large))
    await db.put('c', 'fits', json(fits))
    await receive(db, ...['large', 'fits'].map((key) => foreignPut(key, at(1000, 'n2'))))
    const content = (await listed(db)).map(({ key, lost }) => [key, lost])
    expect(Object.fromEntries(content)).toMatchObject({
      large: { content: { bytes: maxConflictValueBytes + 1, value: null } },
      fits: { content: { bytes: maxConflictValueBytes, value: fits } },
    })
  })

  test('records live as long as tombstones, and are on pages', async () => {
    const db = await open(engines[name])
    for (let i = 0; i < 7; i++) await receive(db, foreignPut('k', at(i, `n${i}`), json(`${i}`)))
    const keys: unknown[] = []
    let before: string | null = null
    const sizes: number[] = []
    do {
      const page = await db.conflicts({ collection: 'c', before, limit: 2 })
      keys.push(...page.conflicts.map(({ lost }) => lost.node))
      sizes.push(page.conflicts.length)
      before = page.next
    } while (before !== null)
    expect([keys, sizes]).toEqual([
      ['n5', 'n4', 'n3', 'n2', 'n1', 'n0'],
      [2, 2, 2],
    ])
    expect((await db.conflicts({ collection: 'other', before: null, limit: 2 })).conflicts).toEqual([])
    clock.nowMs += 7 * dayMs - 1
    expect(await listed(db)).toHaveLength(6)
    clock.nowMs += 1
    expect(await listed(db)).toEqual([])
  })
})

test('pages end where their values are many', async () => {
  const db = await open()
  const value = JSON.stringify('x'.repeat(maxConflictValueBytes - 2))
  for (let i = 0; i < 40; i++) await db.put('c', `k${i}`, json(value))
  await receive(db, ...Array.from({ length: 40 }, (_, i) => foreignPut(`k${i}`, at(1000, 'n2'))))
  const found = new Set<string>()
  let before: string | null = null
  do {
    const page = await db.conflicts({ collection: null, before, limit: 100 })
    expect(page.conflicts.length).toBeLessThan(17)
    for (const { key } of page.conflicts) found.add(key)
    before = page.next
  } while (before !== null)
  expect(found.size).toBe(40)
})

test('conflicts beyond the most that are kept are counted', async () => {
  const db = await open()
  const count = maxConflicts + 3
  for (let i = 0; i < count; i += 500) {
    const some = Array.from({ length: Math.min(500, count - i) }, (_, n) => `k${i + n}`)
    await db.putAll(
      'c',
      some.map((key) => ({ key, ...json('1') })),
    )
    const reported = await receive(db, ...some.map((key) => foreignPut(key, at(1000, 'n2'))))
    expect(reported).toHaveLength(some.length)
  }
  expect(await listed(db)).toHaveLength(maxConflicts)
  const page = await db.conflicts({ collection: null, before: null, limit: 1 })
  expect(page.unlisted).toBe(3)
  await receive(db, foreignPut('k0', at(500, 'n3'), json('3')))
  expect((await db.conflicts({ collection: null, before: null, limit: 1 })).unlisted).toBe(4)
})

describe('a member that changes between the read and the commit', () => {
  /** A store in which `during` is done right before the commit of writes of another node. */
  async function racing(during: (db: Database) => Promise<unknown>): Promise<Database> {
    let isArmed = false
    const db = await open(async (onCommit) => {
      const engine = openMemory({ onCommit })
      return {
        ...engine,
        async commit(commit) {
          const isForeign = commit.writes.some((write) => write.op !== 'renew' && write.origin !== undefined)
          if (isArmed && isForeign) {
            isArmed = false
            await during(db)
          }
          return engine.commit(commit)
        },
      }
    })
    await db.put('c', 'k', json('"first"'))
    isArmed = true
    return db
  }

  test('has a record of the version that was lost, not of the one that was read', async () => {
    const db = await racing((store) => store.put('c', 'k', json('"second"')))
    const reported = await receive(db, foreignPut('k', at(1000, 'n2')))
    const member = await db.get('c', 'k')
    expect(member).toMatchObject({ value: '"theirs"' })
    const found = await listed(db)
    expect(found).toHaveLength(1)
    expect(found[0]!.lost).toMatchObject({ type: 'put', node: db.nodeId, content: null })
    expect(found[0]!.lost.clock).toBe(at(0, '').clock + 1)
    expect(reported).toEqual([...found])
  })

  test('has a record of the write if that is what was lost', async () => {
    const db = await racing((store) => {
      clock.nowMs += 5000
      return store.put('c', 'k', json('"second"'))
    })
    await receive(db, foreignPut('k', at(1000, 'n2')))
    expect(await db.get('c', 'k')).toMatchObject({ value: '"second"' })
    const found = await listed(db)
    expect(found).toHaveLength(1)
    expect(found[0]).toMatchObject({
      kept: { node: db.nodeId },
      lost: { node: 'n2', content: { value: '"theirs"' } },
    })
  })

  test('has none if its version is the same node’s by then', async () => {
    const db = await racing((store) => store.replicate([foreignPut('k', at(500, 'n2'))]))
    expect(await receive(db, foreignPut('k', at(1000, 'n2')))).toEqual([])
    expect(await listed(db)).toEqual([])
  })

  test('keeps the record of another request that brought the same version at the same time', async () => {
    let others: Conflict[] = []
    const theirs = foreignPut('k', at(1000, 'n2'))
    const db = await racing(async (store) => {
      others = await receive(store, theirs)
    })
    expect(await receive(db, theirs)).toEqual([])
    expect(await listed(db)).toEqual(others)
    expect(others).toHaveLength(1)
  })
})
