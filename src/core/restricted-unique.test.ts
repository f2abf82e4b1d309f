import { afterAll, beforeAll, expect, test } from 'bun:test'
import { faultOf } from '../../test/support/engine.ts'
import { openTestEngine } from '../../test/support/test-engine.ts'
import { type Database, openDatabase } from './database.ts'
import { parseGrants } from './grants.ts'
import { parseIndexes } from './indexes/definition.ts'
import { jsonContentType } from './member.ts'
import { permitsOf } from './permits.ts'
import { restricted } from './restricted.ts'
import { noSettings } from './settings.ts'

/** Who may not read the member that has a unique value does not learn its key. */

let db: Database

beforeAll(async () => {
  db = await openDatabase({
    open: openTestEngine,
    cacheBytes: 1 << 20,
    now: () => 1000,
    onError(error) {
      throw error
    },
  })
  await db.setSettings('c', {
    ...noSettings,
    indexes: parseIndexes([{ name: 'u', on: ['@'], unique: true }]),
  })
  await db.put('c', 'secret', content('7'))
  await db.put('c', 'own/1', content('8'))
})
afterAll(() => db.close())

const content = (value: string) => ({ value, contentType: jsonContentType, flags: 0, expiresAtMs: null })
const ref = { collection: 'c', key: 'own/2' }

const writes = {
  put: (store) => faultOf(store.put('c', ref.key, content('7'))),
  batch: (store) => faultOf(store.execute({ operations: [{ op: 'put', ...ref, ...content('7') }] })),
  patch: (store) => faultOf(store.patch(ref, { kind: 'merge', text: '7' })),
  update: (store) => faultOf(store.update(ref, () => ({ op: 'put', ...ref, ...content('7') }))),
  import: async (store) => (await store.putAll('c', [{ key: ref.key, ...content('7') }]))[0]!.error,
} satisfies Record<string, (store: ReturnType<typeof restricted>) => Promise<unknown>>

test.each(Object.keys(writes) as (keyof typeof writes)[])('by %s', async (write) => {
  const storeOf = (...grants: unknown[]) =>
    restricted(db, { id: 'id', name: 'app', permits: permitsOf(parseGrants(grants)) })
  const part = { collections: 'c', key_prefix: 'own/', can: ['read', 'write'] }
  const hidden = await writes[write](storeOf(part))
  expect(hidden).toMatchObject({
    code: 'not_unique',
    message: 'c/own/2: another member has the same @, and index u is unique',
    extra: { collection: 'c', key: 'own/2', index: 'u', on: ['@'] },
  })
  expect(JSON.stringify(hidden)).not.toContain('secret')
  const shown = await writes[write](storeOf(part, { collections: 'c', can: ['read'] }))
  expect(shown).toMatchObject({ code: 'not_unique', extra: { other: { collection: 'c', key: 'secret' } } })
})
