import { expect, test } from 'bun:test'
import { newFolder, until, withEngine } from '../../../../test/support/engine.ts'
import { put, remove, write } from '../../../../test/support/engine-writes.ts'
import { wrongEntries } from '../../../../test/support/index-entries.ts'
import { openDatabase } from '../../../core/database.ts'
import type { Engine } from '../../../core/engine.ts'
import { indexOf, parseIndexes } from '../../../core/indexes/definition.ts'
import { notBegun, progressPut } from '../../../core/indexes/registry.ts'
import { noSettings } from '../../../core/settings.ts'
import { openSqlite } from '../engine.ts'
import { checkFolder } from './check-folder.ts'
import { repairFolder } from './repair-folder.ts'

const indexes = parseIndexes([
  { name: 'by_a', on: ['@.a', '@.b'] },
  { name: 'one_b', on: ['@.b'], unique: true },
])

async function open(dir: string) {
  let engine: Engine | null = null
  const db = await openDatabase({
    open: async (onCommit) => {
      engine = await openSqlite({ dir, durability: 'relaxed', onCommit })
      return engine
    },
    cacheBytes: 0,
    now: () => 1_000_000,
    onError(error) {
      throw error
    },
  })
  return { db, engine: engine! }
}

const untilReady = (db: Awaited<ReturnType<typeof open>>['db']) =>
  until(() => db.indexesOf('c').every(({ state }) => state === 'ready'), 'they are ready')

/** A folder whose members, values of all sizes and bytes among them, are all in its tables. */
async function indexedFolder(): Promise<string> {
  const dir = newFolder()
  const { db, engine } = await open(dir)
  await db.setSettings('c', { ...noSettings, indexes })
  const content = { contentType: 'application/json', flags: 0, expiresAtMs: null }
  for (let i = 0; i < 300; i++) {
    const more = i % 50 === 0 ? `,"large":"${'x'.repeat(400_000)}"` : ''
    await db.put('c', `k${i}`, { ...content, value: `{"a":${i % 7},"b":"${i}${'y'.repeat(i)}"${more}}` })
  }
  await db.put('c', 'bytes', { ...content, value: new Uint8Array(5), contentType: 'image/png' })
  for (let i = 0; i < 300; i += 3) await db.delete('c', `k${i}`)
  await untilReady(db)
  for (const index of indexes) expect(await wrongEntries(engine, indexOf('c', index))).toEqual([])
  await db.close()
  return dir
}

test('indexes that are as their members are whole', async () => {
  const { findings, members } = await checkFolder(await indexedFolder())
  expect(findings).toEqual([])
  expect(members).toBeGreaterThan(600)
})

test.each([
  ['a member with another value', () => ({ ...put('k1', '{"a":9}'), collection: 'c' })],
  ['a member without an entry', () => ({ ...put('new', '{"a":9}'), collection: 'c' })],
  [
    'a large member without an entry',
    () => ({ ...put('new', `{"a":"${'x'.repeat(400_000)}"}`), collection: 'c' }),
  ],
  ['an entry without a member', () => ({ ...remove('k1'), collection: 'c' })],
])('%s is found, and a repaired store has its indexes built anew', async (_, writeOf) => {
  const dir = await indexedFolder()
  // As a fault in kvist would: past the write gate.
  await withEngine(dir, (engine) => write(engine, [writeOf()]))
  const { findings } = await checkFolder(dir)
  const what = (name: string) => ({
    where: 'members',
    what: `the entries of index ${name} are not those of its members; kvist repair has them built anew`,
    collection: 'c',
  })
  expect(findings).toEqual([what('by_a'), what('one_b')])
  const target = newFolder()
  await repairFolder(dir, target)
  const { db, engine } = await open(target)
  await untilReady(db)
  for (const index of indexes) expect(await wrongEntries(engine, indexOf('c', index))).toEqual([])
  await db.close()
  expect((await checkFolder(target)).findings).toEqual([])
})

test('an index that is not ready is not compared: entries may still be missing', async () => {
  const dir = await indexedFolder()
  const [first] = indexes
  const building = progressPut(indexOf('c', first!), notBegun)
  const member = { ...put('new', '{"a":9}'), collection: 'c' }
  await withEngine(dir, (engine) => write(engine, [building, member]))
  const { findings } = await checkFolder(dir)
  expect(findings.map(({ what }) => what.includes('index one_b'))).toEqual([true])
})
