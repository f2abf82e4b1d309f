import { afterEach, describe, expect, test } from 'bun:test'
import { faultOf, newFolder, until } from '../../../test/support/engine.ts'
import { wrongEntries } from '../../../test/support/index-entries.ts'
import { lateEngine } from '../../../test/support/late-engine.ts'
import { linedEngine } from '../../../test/support/lined-engine.ts'
import { manualTimers } from '../../../test/support/manual-timers.ts'
import { type Random, random, seedOfRun } from '../../../test/support/random.ts'
import { openMemory } from '../../engines/memory/engine.ts'
import { openSqlite } from '../../engines/sqlite/engine.ts'
import { msToStamp } from '../clock.ts'
import type { NewContent } from '../content.ts'
import { type Database, openDatabase, wholeCollection } from '../database.ts'
import type { Engine, OnCommit } from '../engine.ts'
import { KvistError } from '../errors.ts'
import type { ForeignWrite } from '../foreign-write.ts'
import { everything } from '../list.ts'
import { nextTick } from '../next-tick.ts'
import type { Operation } from '../operations.ts'
import { noSettings } from '../settings.ts'
import { type Index, indexOf, parseIndexes } from './definition.ts'

/** Random operations on a collection with indexes: whatever is done, its entries are those of its members. */

const engines: Readonly<Record<string, (onCommit: OnCommit) => Promise<Engine>>> = {
  memory: async (onCommit) => openMemory({ onCommit }),
  'memory whose results come late': async (onCommit) => lateEngine(openMemory({ onCommit })),
  sqlite: (onCommit) => openSqlite({ dir: newFolder(), durability: 'relaxed', onCommit }),
  'an engine of several lines': async (onCommit) =>
    lateEngine(linedEngine({ lines: 4, spans: 'line', onCommit })),
}

const clock = { nowMs: 1_000_000 }
const timers = manualTimers()
const opened: Database[] = []
afterEach(async () => {
  for (const db of opened.splice(0)) await db.close()
})

const definitions = parseIndexes([
  { name: 'by-a', on: ['@.a'] },
  { name: 'by-b-a', on: ['@.b', '@.a'] },
])
const indexes = definitions.map((definition) => indexOf('c', definition))

async function open(openEngine: (onCommit: OnCommit) => Promise<Engine>) {
  let engine: Engine | null = null
  const db = await openDatabase({
    open: async (onCommit) => {
      engine = await openEngine(onCommit)
      return engine
    },
    cacheBytes: 1 << 20,
    now: () => clock.nowMs,
    timers,
    onError(error) {
      throw error
    },
  })
  opened.push(db)
  await db.setSettings('c', { ...noSettings, indexes: definitions })
  return { db, engine: engine! }
}

const keys = ['a', 'b', 'c', 'd', 'e', `long${'x'.repeat(500)}`]

function randomContent({ int, oneIn, pick }: Random): NewContent {
  const field = () => pick(['1', '1.0', '2', '"x"', '"y"', 'null', `"${'long'.repeat(100)}"`, '[1]'])
  const value = oneIn(8) ? '7' : `{"a":${field()},"n":${int(9)}${oneIn(2) ? `,"b":${field()}` : ''}}`
  const expiresAtMs = oneIn(4) ? clock.nowMs + int(2000) : null
  return { value, contentType: 'application/json', flags: 0, expiresAtMs }
}

function randomForeign(chance: Random): ForeignWrite {
  const { int, oneIn, pick } = chance
  const ref = { collection: 'c', key: pick(keys) }
  // Some are older than what is stored, or was deleted.
  const origin = { clock: msToStamp(clock.nowMs - int(3000) + 1500) + int(4), node: pick(['other', 'third']) }
  if (oneIn(3)) return { op: 'delete', ...ref, cause: 'delete', origin }
  const content = { ...randomContent(chance), expiresAtMs: oneIn(4) ? clock.nowMs + 500 : null }
  return { op: 'put', ...ref, ...content, origin: { ...origin, createdAtMs: 1 } }
}

function randomOperation(chance: Random, key = chance.pick(keys)): Operation {
  const ref = { collection: 'c', key }
  return chance.pick<() => Operation>([
    () => ({ op: 'put', ...ref, ...randomContent(chance) }),
    () => ({ op: 'delete', ...ref }),
    () => ({ op: 'increment', ...ref, path: '/a', by: 1 }),
    () => ({ op: 'touch', ...ref, expiresAtMs: clock.nowMs + chance.int(2000) - 500 }),
  ])()
}

/** The errors that the operations may meet. */
const expected = new Set(['unprocessable', 'precondition_failed', 'not_unique', 'conflict'])

async function step(db: Database, chance: Random): Promise<void> {
  const { int, pick } = chance
  const key = pick(keys)
  const ref = { collection: 'c', key }
  const steps: (() => Promise<unknown>)[] = [
    () => db.put('c', key, randomContent(chance)),
    () => db.put('c', key, randomContent(chance)),
    () => db.delete('c', key),
    () => db.execute({ operations: [randomOperation(chance)] }),
    () => db.execute({ operations: Array.from({ length: 4 }, () => randomOperation(chance, key)) }),
    () => db.execute({ operations: Array.from({ length: 4 }, () => randomOperation(chance)) }),
    () =>
      db.putAll(
        'c',
        Array.from({ length: 4 }, () => ({ key: pick(keys), ...randomContent(chance) })),
      ),
    () =>
      db.write([
        { op: 'delete', ...ref, cause: 'delete' },
        { op: 'put', ...ref, ...plain(randomContent(chance)) },
      ]),
    () => db.replicate(Array.from({ length: 1 + int(3) }, () => randomForeign(chance))),
    () => db.drop('c', { ...everything, prefix: key[0]! }),
    () => db.patch(ref, { kind: 'merge', text: `{"b":${int(3)}}` }),
    async () => {
      clock.nowMs += int(1500)
      timers.pass(1000)
    },
  ]
  try {
    await pick(steps)()
  } catch (error) {
    if (!(error instanceof KvistError) || !expected.has(error.code)) throw error
  }
}

const plain = (content: NewContent) => ({ ...content, expiresAtMs: content.expiresAtMs as number | null })

/** Returns what is wrong once the sweep that may be under way has come to rest. */
async function lastWrong(engine: Engine, index: Index): Promise<string[]> {
  let wrong = await wrongEntries(engine, index)
  for (let tries = 0; wrong.length > 0 && tries < 100; tries++) {
    await nextTick()
    wrong = await wrongEntries(engine, index)
  }
  return wrong
}

describe.each(Object.keys(engines))('on %s', (name) => {
  test('entries are those of the members, whatever is done', async () => {
    const { db, engine } = await open(engines[name]!)
    const chance = random(seedOfRun())
    for (let round = 0; round < 150; round++) {
      await Promise.all(Array.from({ length: 1 + chance.int(6) }, () => step(db, chance)))
      for (const index of indexes) expect(await lastWrong(engine, index)).toEqual([])
    }
  })
})

async function faultOrNull(work: Promise<unknown>): Promise<KvistError | null> {
  try {
    await work
  } catch (error) {
    if (error instanceof KvistError) return error
    throw error
  }
  return null
}

describe.each(Object.keys(engines).slice(0, 3))('a unique index on %s', (name) => {
  async function openUnique() {
    const { db, engine } = await open(engines[name]!)
    const [definition] = parseIndexes([{ name: 'u', on: ['@.u'], unique: true }])
    const index = indexOf('c', definition!)
    await db.setSettings('c', { ...noSettings, indexes: [definition!] })
    await until(() => db.indexesOf('c')[0]!.state === 'ready', 'it is ready')
    return { db, engine, index }
  }
  const ref = (key: string) => ({ collection: 'c', key })
  const json = (value: string, expiresAtMs: number | null = null): NewContent => ({
    ...{ value, contentType: 'application/json', flags: 0, expiresAtMs },
  })
  const put = (key: string, value: string): Operation => ({ op: 'put', ...ref(key), ...json(value) })

  test('refuses a second member with the same value, however it is written', async () => {
    const { db, engine, index } = await openUnique()
    await db.put('c', 'a', json('{"u":10}'))
    const notUnique = {
      code: 'not_unique',
      message: 'c/b: c/a has the same @.u, and index u is unique',
      extra: { collection: 'c', key: 'b', index: 'u', on: ['@.u'], other: ref('a') },
    }
    const refused = async (work: Promise<unknown>) => expect(await faultOf(work)).toMatchObject(notUnique)
    await refused(db.put('c', 'b', json('{"u":1e1}')))
    await refused(db.execute({ operations: [put('z', '{}'), put('b', '{"u":10.0}')] }))
    expect(await db.get('c', 'z')).toBeNull()
    await db.put('c', 'b', json('{"u":9}'))
    await refused(db.patch(ref('b'), { kind: 'merge', text: '{"u":10}' }))
    await refused(db.execute({ operations: [{ op: 'increment', ...ref('b'), path: '/u', by: 1 }] }))
    expect(
      await db.putAll('c', [
        { key: 'b', ...json('{"u":10}') },
        { key: 'd', ...json('{"u":11}') },
      ]),
    ).toMatchObject([{ index: 0, error: notUnique }])
    const [outcome] = await db.write([{ op: 'put', ...ref('b'), ...json('{"u":10}'), expiresAtMs: null }])
    expect(outcome).toMatchObject({ revision: 0, notUnique })
    expect((await db.get('c', 'b'))!.value).toBe('{"u":9}')
    // Null is a value, and nothing is none.
    await db.put('c', 'e', json('{"u":null}'))
    expect(await faultOf(db.put('c', 'f', json('{"u":null}')))).toMatchObject({ code: 'not_unique' })
    for (const key of ['g', 'h']) await db.put('c', key, json('{}'))
    expect(await wrongEntries(engine, index)).toEqual([])
  })

  test('takes a value that is given up in the same batch, is deleted, or has expired', async () => {
    const { db, engine, index } = await openUnique()
    await db.putAll('c', [
      { key: 'a', ...json('{"u":1}') },
      { key: 'b', ...json('{"u":2}') },
    ])
    await db.execute({ operations: [put('a', '{"u":2}'), put('b', '{"u":1}')] })
    const moved = [{ op: 'delete', ...ref('a') }, put('c', '{"u":2}')] as const
    await db.execute({ operations: moved })
    expect(
      await faultOf(db.execute({ operations: [put('x', '{"u":5}'), put('y', '{"u":5}')] })),
    ).toMatchObject({
      code: 'not_unique',
      extra: { key: 'y', other: ref('x') },
    })
    await db.put('c', 'old', json('{"u":3}', clock.nowMs + 100))
    await db.put('c', 'own', json('{"u":4}', clock.nowMs + 100))
    clock.nowMs += 100
    // The member itself has expired, too, and is swept with the other.
    await db.put('c', 'own', json('{"u":3}'))
    await db.put('c', 'old', json('{"u":7}', clock.nowMs + 100))
    clock.nowMs += 100
    expect(
      await db.putAll('c', [
        { key: 'n1', ...json('{"u":7}') },
        { key: 'n2', ...json('{"u":8}') },
      ]),
    ).toEqual([])
    const batch = [{ op: 'delete', ...ref('n2') }, put('n3', '{"u":8}')] as const
    await db.execute({ operations: batch })
    expect(await wrongEntries(engine, index)).toEqual([])
  })

  test('of many that write the same value at once, one does', async () => {
    const { db, engine, index } = await openUnique()
    for (let round = 0; round < 10; round++) {
      const writes = Array.from({ length: 20 }, (_, i) =>
        faultOrNull(db.put('c', `k${i}`, json(`{"u":${round}}`))),
      )
      const faults = await Promise.all(writes)
      expect(faults.filter((fault) => fault === null)).toHaveLength(1)
      expect(await wrongEntries(engine, index)).toEqual([])
    }
  })

  test('stores what another node sends, and protects the first holder', async () => {
    const { db, engine, index } = await openUnique()
    await db.put('c', 'a', json('{"u":1}'))
    const origin = { clock: msToStamp(clock.nowMs), node: 'other', createdAtMs: 1 }
    const foreign = { op: 'put', ...ref('b'), ...json('{"u":1}'), expiresAtMs: null, origin } as const
    await db.replicate([foreign])
    expect((await db.get('c', 'b'))!.value).toBe('{"u":1}')
    expect(await wrongEntries(engine, index)).toEqual([])
    await db.delete('c', 'b')
    expect(await faultOf(db.put('c', 'd', json('{"u":1}')))).toMatchObject({ extra: { other: ref('a') } })
    expect(await wrongEntries(engine, index)).toEqual([])
  })

  test('is kept, whatever is done', async () => {
    const { db, engine, index } = await openUnique()
    const chance = random(seedOfRun())
    const anyKey = () => chance.pick(['a', 'b', 'c', 'd', 'e'])
    const anyContent = () =>
      json(
        chance.oneIn(6) ? '{}' : `{"u":${chance.int(5)}}`,
        chance.oneIn(4) ? clock.nowMs + chance.int(1000) : null,
      )
    const steps: (() => Promise<unknown>)[] = [
      () => db.put('c', anyKey(), anyContent()),
      () => db.delete('c', anyKey()),
      () =>
        db.putAll(
          'c',
          Array.from({ length: 3 }, () => ({ key: anyKey(), ...anyContent() })),
        ),
      () =>
        db.execute({
          operations: Array.from({ length: 1 + chance.int(3) }, (): Operation => {
            const member = ref(anyKey())
            return chance.oneIn(4) ? { op: 'delete', ...member } : { op: 'put', ...member, ...anyContent() }
          }),
        }),
      () => db.patch(ref(anyKey()), { kind: 'merge', text: `{"u":${chance.int(5)}}` }),
      async () => {
        clock.nowMs += chance.int(700)
        timers.pass(1000)
      },
    ]
    for (let round = 0; round < 200; round++) {
      const writes = Array.from({ length: 1 + chance.int(5) }, () => faultOrNull(chance.pick(steps)()))
      for (const fault of await Promise.all(writes))
        if (fault !== null) expect(expected).toContain(fault.code)
      expect(await lastWrong(engine, index)).toEqual([])
      const { members } = await db.page('c', wholeCollection)
      const values = members.flatMap(({ value }) => /\d/.exec(String(value)) ?? [])
      expect(values).toHaveLength(new Set(values).size)
    }
  })
})
