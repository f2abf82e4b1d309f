import { afterAll, describe, expect, test } from 'bun:test'
import { faultOf } from '../../test/support/engine.ts'
import { openTestEngine } from '../../test/support/test-engine.ts'
import type { Content } from './content.ts'
import { type Database, type DatabaseOptions, openDatabase } from './database.ts'
import type { Engine } from './engine.ts'
import { parseIndexes } from './indexes/definition.ts'
import { expiryOf } from './jobs/sweeper.ts'
import { everything } from './list.ts'
import { noSettings } from './settings.ts'

const opened: Database[] = []
afterAll(async () => {
  for (const db of opened) await db.close()
})

/** A database over SQLite; `wrap` puts something between it and the engine. */
async function open(
  wrap: (engine: Engine) => Engine = (engine) => engine,
  options: Partial<DatabaseOptions> = {},
): Promise<Database> {
  const db = await openDatabase({
    open: async (onCommit) => wrap(await openTestEngine(onCommit)),
    cacheBytes: 1 << 20,
    now: Date.now,
    onError(error) {
      throw error
    },
    ...options,
  })
  opened.push(db)
  return db
}

function json(value: string, expiresAtMs: number | null = null): Content {
  return { value, contentType: 'application/json', flags: 0, expiresAtMs }
}

function put(key: string, value: string) {
  return { op: 'put', collection: 'c', key, ...json(value) } as const
}

async function valueIn(db: Database, key: string): Promise<unknown> {
  return (await db.get('c', key))?.value ?? null
}

test('a collection that is swept while its version is asked for does not keep the version', async () => {
  let nowMs = 1000
  let sweeps = false
  const db = await open(
    (engine) => ({
      ...engine,
      async expiring(atMs, limit) {
        const expired = await engine.expiring(atMs, limit)
        if (!sweeps) return expired
        const writes = expired.map(expiryOf)
        await engine.commit({ checks: [], writes, nowMs: atMs, durability: 'full' })
        return engine.expiring(atMs, limit)
      },
    }),
    { now: () => nowMs },
  )
  await db.put('c', 'k', json('1', 2000))
  const before = await db.collectionVersion('c', everything)
  expect(before).not.toBeNull()
  nowMs = 2000
  expect(await db.collectionVersion('c', everything)).toBeNull()
  sweeps = true
  expect(await db.collectionVersion('c', everything)).not.toBe(before)
})

test('the version of a list ends when a member expires, also one that was written while the next expiry was known', async () => {
  let nowMs = 1000
  const db = await open(undefined, { now: () => nowMs })
  const asked = async (atMs: number) => {
    nowMs = atMs
    return (await db.collectionVersion('c', everything)) !== null
  }
  await db.put('c', 'a', json('1', 2000))
  expect([await asked(1000), await asked(1999), await asked(2000), await asked(1500)]).toEqual([
    ...[true, true, false, true],
  ])
  await db.put('c', 'b', json('1', 1600))
  expect([await asked(1500), await asked(1599), await asked(1600)]).toEqual([true, true, false])
  nowMs = 1500
  await db.touch({ collection: 'c', key: 'b' }, 1900)
  expect([await asked(1500), await asked(1600)]).toEqual([true, true])
  await db.touch({ collection: 'c', key: 'b' }, 1700)
  expect([await asked(1699), await asked(1700), await asked(1699)]).toEqual([true, false, true])
  await db.delete('c', 'b')
  expect(await asked(1700)).toBe(true)
})

describe('reads', () => {
  test('are never older than what was written, also with an engine whose results come late', async () => {
    let hold: Promise<void> = Promise.resolve()
    const db = await open((engine) => ({
      ...engine,
      async read(collection, key) {
        const found = await engine.read(collection, key)
        await hold // what was found gets old on its way
        return found
      },
    }))
    await db.put('c', 'k', json('1'))
    let release = () => {}
    hold = new Promise((resolve) => {
      release = resolve
    })
    const slow = db.get('c', 'k')
    await Bun.sleep(1)
    await db.put('c', 'k', json('2'))
    release()
    expect((await slow)?.value).toBe('1')
    expect(await valueIn(db, 'k')).toBe('2')
    expect(await valueIn(db, 'k')).toBe('2')
    expect(db.stats().cache.hits).toBe(1)
  })

  /** A database whose engine returns reads of several members when the test says so. */
  async function openHeld() {
    const held = { before: Promise.resolve(), after: Promise.resolve(), release() {} }
    const db = await open((engine) => ({
      ...engine,
      async readMany(refs, maxBytes) {
        await held.before
        const found = await engine.readMany(refs, maxBytes)
        await held.after
        return found
      },
    }))
    return {
      db,
      /** Reads wait before the engine is asked, or with what it said. */
      hold(when: 'before' | 'after') {
        held[when] = new Promise((resolve) => {
          held.release = resolve
        })
      },
      release: () => held.release(),
    }
  }

  const refs = ['a', 'b'].map((key) => ({ collection: 'c', key }))
  const valuesOf = async (db: Database) => (await db.readMany(refs)).map((member) => member?.value ?? null)

  test('of several members, while they are written, leave nothing old in the cache', async () => {
    const { db, hold, release } = await openHeld()
    await db.execute({ operations: [put('a', '1'), put('b', '1')] })
    hold('after')
    const slow = valuesOf(db)
    await db.put('c', 'b', json('2'))
    release()
    await slow
    expect([await valueIn(db, 'a'), await valueIn(db, 'b')]).toEqual(['1', '2'])
  })

  test('of several members are of one moment, though one of them was in the cache', async () => {
    const { db, hold, release } = await openHeld()
    await db.execute({ operations: [put('a', '1'), put('b', '1')] })
    for (let i = 0; i < 3; i++) await db.get('c', 'a')
    hold('before')
    const slow = valuesOf(db)
    await db.execute({ operations: [put('a', '2'), put('b', '2')] })
    release()
    const values = await slow
    expect(new Set(values).size).toBe(1)
  })

  test('are new after every kind of write, of each member that it wrote', async () => {
    let nowMs = 1000
    const db = await open(undefined, { now: () => nowMs })
    const keys = ['a', 'b', 'c']
    const read = async () => {
      const found = []
      for (const key of keys) found.push(await db.get('c', key))
      return found
    }
    const writes: [name: string, write: () => Promise<unknown>][] = [
      ['batch', () => db.execute({ operations: [put('a', '2'), put('b', '2'), put('c', '2')] })],
      [
        'putAll',
        () =>
          db.putAll(
            'c',
            keys.map((key) => ({ key, ...json('3') })),
          ),
      ],
      ['write', () => db.write(keys.map((key) => ({ op: 'put', collection: 'c', key, ...json('4') })))],
      ['touch', () => Promise.all(keys.map((key) => db.touch({ collection: 'c', key }, 5000)))],
      ['touch with never', () => Promise.all(keys.map((key) => db.touch({ collection: 'c', key }, 'never')))],
      [
        'delete in a batch',
        () =>
          db.execute({ operations: keys.map((key) => ({ op: 'delete', collection: 'c', key }) as const) }),
      ],
      ['put of what is gone', () => Promise.all(keys.map((key) => db.put('c', key, json('5'))))],
      ['drop', () => db.drop('c', everything)],
    ]
    await db.execute({ operations: keys.map((key) => put(key, '1')) })
    for (const [name, write] of writes) {
      // What is read again and again is in the cache.
      for (let i = 0; i < 3; i++) await read()
      const hits = db.stats().cache.hits
      const before = await read()
      if (before.every((member) => member !== null)) expect(db.stats().cache.hits).toBe(hits + 3)
      nowMs += 10
      await write()
      const after = await read()
      const stored = await db.page('c', {
        ...everything,
        order: 'asc',
        limit: 10,
        cursor: null,
        keysOnly: false,
      })
      const found = after.filter((member) => member !== null)
      expect([name, found]).toEqual([name, stored.members])
      expect([name, after.length]).toEqual([name, before.length])
    }
  })

  test('show nothing from the millisecond of its expiry on, also out of the cache', async () => {
    let nowMs = 1000
    const db = await open(undefined, { now: () => nowMs })
    await db.put('c', 'k', json('1', 2000))
    for (let i = 0; i < 3; i++) expect(await valueIn(db, 'k')).toBe('1')
    nowMs = 1999
    expect(await valueIn(db, 'k')).toBe('1')
    nowMs = 2000
    expect(await valueIn(db, 'k')).toBeNull()
    expect(await db.readMany([{ collection: 'c', key: 'k' }])).toEqual([null])
    expect((await faultOf(db.put('c', 'k', json('2'), { ifMatch: 'any' }))).code).toBe('precondition_failed')
    const written = await db.put('c', 'k', json('2'), { ifNoneMatch: 'any' })
    expect([written.existed, written.createdAtMs]).toEqual([false, 2000])
  })
})

describe('batches', () => {
  test('increments that meet lose nothing', async () => {
    const db = await open()
    const add = { op: 'increment', collection: 'c', key: 'n', path: '', by: 1 } as const
    await Promise.all(Array.from({ length: 100 }, () => db.execute({ operations: [add] })))
    expect(await valueIn(db, 'n')).toBe('100')
  })

  test('a check that fails is reported at once, an increment that was overtaken is done again', async () => {
    let overtake = 0
    const db: Database = await open((engine) => ({
      ...engine,
      async readMany(refs) {
        const found = await engine.readMany(refs)
        if (overtake-- > 0) await db.put('c', 'n', json('10'))
        return found
      },
    }))
    const { revision } = await db.put('c', 'n', json('1'))
    const increment = { op: 'increment', collection: 'c', key: 'n', path: '', by: 1 } as const
    const check = { collection: 'c', key: 'n', revision }
    overtake = 1
    const fault = await faultOf(db.execute({ checks: [check], operations: [increment] }))
    expect([fault.code, fault.extra.revision]).toEqual(['precondition_failed', revision + 1])
    overtake = 2
    await db.execute({ operations: [increment] })
    expect(await valueIn(db, 'n')).toBe('11')
    const both = await faultOf(
      db.execute({ checks: [check, { ...check, revision: revision + 3 }], operations: [increment] }),
    )
    expect(both.code).toBe('precondition_failed')
  })
})

describe('a drop', () => {
  test('leaves what is put between its list and its commit', async () => {
    let isListed = false
    const db: Database = await open((engine) => ({
      ...engine,
      async commit(commit) {
        const isDrop = isListed && commit.writes.every(({ op }) => op === 'delete')
        if (isDrop) {
          isListed = false
          await db.put('c', 'a', json('"new"'))
        }
        return engine.commit(commit)
      },
    }))
    await db.put('c', 'a', json('"old"'))
    await db.put('c', 'b', json('"old"'))
    isListed = true
    expect(await db.drop('c', everything)).toBe(1)
    expect([await valueIn(db, 'a'), await valueIn(db, 'b')]).toEqual(['"new"', null])
  })

  test('takes what was there when it began, and leaves what is written meanwhile', async () => {
    let nowMs = 5000
    const db: Database = await open(undefined, { now: () => nowMs })
    const keys = Array.from({ length: 2500 }, (_, i) => `k${String(i).padStart(4, '0')}`)
    await db.putAll(
      'c',
      keys.map((key) => ({ key, ...json('1') })),
    )
    let parts = 0
    nowMs = 6000
    const dropped = db.drop('c', everything, () => {
      parts++
      nowMs++
      if (parts === 1) {
        // One that the drop has yet to come to, one that is new, one behind it.
        for (const key of ['k2400', 'k2400x', 'k0000']) db.put('c', key, json('2'))
      }
    })
    expect(await dropped).toBe(2499)
    expect(parts).toBeGreaterThanOrEqual(3)
    const { members } = await db.page('c', {
      ...everything,
      order: 'asc',
      limit: 10,
      cursor: null,
      keysOnly: false,
    })
    expect(members.map(({ key, value }) => [key, value])).toEqual([
      ['k0000', '2'],
      ['k2400', '2'],
      ['k2400x', '2'],
    ])
  })
})

test('where several servers write to a store, some indexes cannot be kept, and it says why', async () => {
  const indexes = parseIndexes([{ name: 'by-a', on: ['@.a'], unique: true }])
  let closed = 0
  const shared = (engine: Engine): Engine => ({
    ...engine,
    shared: {
      isOnOneLine: (collection) => collection === '{one}',
      beginIndex: async () => {},
      finishIndex: async () => true,
      forgetIndex: async () => {},
    },
    close() {
      closed++
      return engine.close()
    },
  })
  const db = await open(shared)
  const refused = await faultOf(db.setSettings('c', { ...noSettings, indexes }))
  expect(refused).toMatchObject({
    code: 'unprocessable',
    message: expect.stringContaining('on several lines'),
  })
  expect(db.settings('c')).toEqual(noSettings)
  await db.setSettings('{one}', { ...noSettings, indexes })
  const fixed = new Map([['c', { ...noSettings, indexes }]])
  const opening = open(shared, { settings: fixed }).catch((error: Error) => error.message)
  expect(await opening).toMatch(/^the indexes of c are in the configuration file: .*all servers/)
  expect(closed).toBe(1)
  const other = new Map([['c', { ...noSettings, maxMembers: 1 }]])
  expect((await open(shared, { settings: other })).settings('c').maxMembers).toBe(1)
})
