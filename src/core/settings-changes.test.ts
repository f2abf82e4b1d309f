import { afterEach, describe, expect, test } from 'bun:test'
import { openLateTestEngine } from '../../test/support/test-engine.ts'
import type { NewContent } from './content.ts'
import { type Database, openDatabase } from './database.ts'
import { parseIndexes } from './indexes/definition.ts'
import { nextTick } from './next-tick.ts'
import { noSettings, type Settings } from './settings.ts'

/** Once settings are stored, no write is under way that was checked against those before, whatever it waits for. */

const opened: Database[] = []
afterEach(async () => {
  for (const db of opened.splice(0)) await db.close()
})

async function open(): Promise<Database> {
  const db = await openDatabase({
    open: openLateTestEngine,
    cacheBytes: 1 << 20,
    now: () => 1_000_000,
    processes: [
      {
        name: 'slow',
        async run(draft) {
          for (let i = 0; i < 5; i++) await nextTick()
          return draft
        },
      },
    ],
    onError(error) {
      throw error
    },
  })
  opened.push(db)
  return db
}

const json = (value: string): NewContent => ({
  ...{ value, contentType: 'application/json', flags: 0, expiresAtMs: null },
})
const ref = (key: string) => ({ collection: 'c', key })

const ways: Readonly<Record<string, (db: Database, key: string) => Promise<unknown>>> = {
  put: (db, key) => db.put('c', key, json('{"n":1}')),
  'put with a condition': (db, key) => db.put('c', key, json('{"n":1}'), { ifNoneMatch: [999] }),
  'put that is prepared': (db, key) => db.put('c', key, json('{"n":1}'), { ifNoneMatch: [999] }, 'prepared'),
  patch: (db, key) => db.patch(ref(key), { kind: 'merge', text: '{"n":1}' }),
  batch: (db, key) =>
    db.execute({
      operations: [
        { op: 'put', ...ref(key), ...json('{"n":2}') },
        { op: 'increment', ...ref(key), path: '/n', by: -1 },
      ],
    }),
  import: async (db, key) => {
    const [rejected] = await db.putAll('c', [{ key, ...json('{"n":1}') }])
    if (rejected !== undefined) throw rejected.error
  },
  write: async (db, key) => {
    const put = { op: 'put', ...ref(key), ...json('{"n":1}'), expiresAtMs: null } as const
    for (const one of await db.write([put, { ...put, key: `${key}-2` }])) if (one.exceeded) throw one.exceeded
  },
  'unmirrored put': (db, key) => db.putUnmirrored(ref(key), { ...json('{"n":1}'), expiresAtMs: null }),
}

const indexes = parseIndexes([{ name: 'by_n', on: ['@.n'] }])

const changes: Readonly<Record<string, [before: Partial<Settings>, after: Partial<Settings>]>> = {
  'a schema': [{ schema: '{"type":"object"}' }, { schema: '{"properties":{"n":{"minimum":5}}}' }],
  'a schema beside a process': [
    { processes: ['slow'] },
    { processes: [], schema: '{"properties":{"n":{"minimum":5}}}' },
  ],
  'a quota of values': [{ processes: ['slow'], maxValueBytes: 100 }, { maxValueBytes: 3 }],
  'a quota of a collection with an index': [{ indexes }, { indexes, maxMembers: 1 }],
}

describe.each(Object.keys(changes))('%s', (change) => {
  test.each(Object.keys(ways))('is set while members are written by %s', async (way) => {
    const db = await open()
    const [before, after] = changes[change]!
    await db.setSettings('c', { ...noSettings, ...before })
    // Writes of one member wait for each other after they were checked.
    const keys = Array.from({ length: 40 }, (_, i) => `k${i % 2}`)
    const writes: Promise<unknown>[] = []
    const former = db.settings('c')
    const setting = (async () => {
      for (let i = 0; i < 20; i++) await nextTick()
      await db.setSettings('c', { ...noSettings, ...after })
      return storedOf(db, keys)
    })()
    for (const key of keys) {
      if (db.settings('c') === former) writes.push(ways[way]!(db, key).catch(() => {}))
      await nextTick()
    }
    const stored = await setting
    await Promise.all(writes)
    expect(await storedOf(db, keys)).toEqual(stored)
    expect(stored.length).toBeGreaterThan(0)
  })
})

async function storedOf(db: Database, keys: readonly string[]): Promise<string[]> {
  const found = await db.readMany(keys.flatMap((key) => [ref(key), ref(`${key}-2`)]))
  return found.flatMap((member) => (member === null ? [] : [`${member.key} ${member.revision}`]))
}
