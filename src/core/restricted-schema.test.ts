import { afterAll, beforeAll, expect, test } from 'bun:test'
import { faultOf } from '../../test/support/engine.ts'
import { openTestEngine } from '../../test/support/test-engine.ts'
import { type Database, openDatabase } from './database.ts'
import { parseGrants } from './grants.ts'
import { jsonContentType } from './member.ts'
import { permitsOf } from './permits.ts'
import { restricted } from './restricted.ts'
import { noSettings } from './settings.ts'

/** What a schema says of values shows nothing to those who may not read them. */

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

const content = { value: '1', contentType: jsonContentType, flags: 0, expiresAtMs: null }

function storeOf(...grants: unknown[]) {
  return restricted(db, { id: 'id', name: 'app', permits: permitsOf(parseGrants(grants)) })
}

test('a check against a schema needs admin and read on all of it', async () => {
  const check = (...grants: unknown[]) =>
    storeOf(...grants)
      .checkMembers('set', { schema: 'true', limit: 1, from: null })
      .then(
        () => 'done',
        (error) => error.code,
      )
  expect(await check({ collections: 'set', can: ['admin', 'read'] })).toBe('done')
  expect(await check({ collections: 'set', can: ['admin'] })).toBe('forbidden')
  expect(await check({ collections: 'set', can: ['read', 'write'] })).toBe('forbidden')
  const part = { collections: 'set', key_prefix: 'a', can: ['read'] }
  expect(await check({ collections: 'set', can: ['admin'] }, part)).toBe('forbidden')
})

test('a merge patch that breaks the schema does not say how to who may not read', async () => {
  const ref = { collection: 'kept', key: 'k' }
  await db.put('kept', 'k', { ...content, value: '{"secret":1}' })
  await db.setSettings('kept', { ...noSettings, schema: '{"additionalProperties":false}' })
  const patch = { kind: 'merge', text: '{"a":1}' } as const
  const patchOf = { op: 'patch', ...ref, patch, expiresAtMs: null } as const
  const said = async (...can: string[]) => {
    const store = storeOf({ collections: 'kept', can })
    const faults = [
      await faultOf(store.patch(ref, patch)),
      await faultOf(store.execute({ operations: [patchOf] })),
    ]
    return faults.map(({ code, message, extra }) => `${code} ${JSON.stringify([message, extra])}`)
  }
  for (const fault of await said('write')) {
    expect(fault).toStartWith('schema_violation ')
    expect(fault).not.toContain('secret')
  }
  for (const fault of await said('write', 'read')) expect(fault).toContain('/secret')
})
