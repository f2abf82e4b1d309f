import { afterAll, beforeAll, expect, test } from 'bun:test'
import { faultOf } from '../../test/support/engine.ts'
import { openTestEngine } from '../../test/support/test-engine.ts'
import { type Database, openDatabase } from './database.ts'
import { parseGrants } from './grants.ts'
import { everything } from './list.ts'
import { permitsOf } from './permits.ts'
import { restricted } from './restricted.ts'
import type { Store } from './store.ts'

/** Lists whose members are copied, as far as a grant reaches. */

const visitor = { stored() {}, undo() {}, member() {} }
const list = { ...everything, order: 'asc', limit: 100, cursor: null, keysOnly: false } as const
const find = { ...list, where: null, order: null, fields: null, count: false }
const explanation = { index: 'i', examined: 0, isSortedInMemory: false }
const found = { next: null, isComplete: true, count: null, explanation }
const page = { next: null }

let db: Database
beforeAll(async () => {
  db = await openDatabase({
    open: openTestEngine,
    cacheBytes: 0,
    now: () => 0,
    onError(error) {
      throw error
    },
  })
})
afterAll(() => db.close())

function storeOf(keys: object): Store {
  const visitable = { ...db, visitPage: () => page, visitFound: () => found }
  const permits = permitsOf(parseGrants([{ collections: 'list', ...keys, can: ['read'] }]))
  return restricted(visitable, { id: 'id', name: 'app', permits })
}

test('a grant of a whole collection lets its pages be visited', () => {
  const store = storeOf({})
  expect(store.visitPage('list', list, visitor)).toBe(page)
  expect(store.visitFound('list', find, visitor)).toBe(found)
})

test('with a grant of some of the keys they are not visited, and forbidden out of reach', async () => {
  const store = storeOf({ key_prefix: 'k' })
  expect(store.visitPage('list', list, visitor)).toBeNull()
  expect(store.visitFound('list', find, visitor)).toBeNull()
  for (const [collection, prefix] of [
    ['list', 'z'],
    ['others', ''],
  ] as const) {
    const visits = [
      async () => store.visitPage(collection, { ...list, prefix }, visitor),
      async () => store.visitFound(collection, { ...find, prefix }, visitor),
    ]
    for (const visit of visits) expect(await faultOf(visit())).toMatchObject({ code: 'forbidden' })
  }
})
