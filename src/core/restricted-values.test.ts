import { afterAll, beforeAll, expect, test } from 'bun:test'
import { faultOf } from '../../test/support/engine.ts'
import { openTestEngine } from '../../test/support/test-engine.ts'
import { type Database, openDatabase, wholeCollection } from './database.ts'
import { parseGrants } from './grants.ts'
import { everything } from './list.ts'
import { jsonContentType } from './member.ts'
import { compilePattern } from './pattern.ts'
import { permitsOf } from './permits.ts'
import { restricted } from './restricted.ts'

/** What selects by value shows nothing of values that the viewer may not read. */

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
})
afterAll(() => db.close())

function storeOf(...grants: unknown[]) {
  return restricted(db, { id: 'id', name: 'app', permits: permitsOf(parseGrants(grants)) })
}

async function put(collection: string, keys: readonly string[], value = '1'): Promise<void> {
  for (const key of keys)
    await db.put(collection, key, { value, contentType: jsonContentType, flags: 0, expiresAtMs: null })
}

const byValue = { match: { ...everything, match: compilePattern('1') } }

test.each(Object.entries(byValue))('a drop by %s needs to read what it selects', async (_name, selection) => {
  await put('values', ['a1', 'a2', 'b'])
  const admin = storeOf({ collections: 'values', can: ['admin'] })
  for (const prefix of ['', 'a'])
    expect((await faultOf(admin.drop('values', { ...selection, prefix }))).code).toBe('forbidden')
  const reader = storeOf(
    { collections: 'values', can: ['admin'] },
    { collections: 'values', key_prefix: 'a', can: ['read'] },
  )
  expect((await faultOf(reader.drop('values', selection))).code).toBe('forbidden')
  expect((await db.page('values', wholeCollection)).members).toHaveLength(3)
  expect(await reader.drop('values', { ...selection, prefix: 'a' })).toBe(2)
})
