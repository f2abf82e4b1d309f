import { afterAll, beforeAll, expect, test } from 'bun:test'
import { faultOf } from '../../test/support/engine.ts'
import { emptyQuery } from '../../test/support/find-model.ts'
import { openTestEngine } from '../../test/support/test-engine.ts'
import { type Database, openDatabase, wholeCollection } from './database.ts'
import { parseFindOrder, parseWhere } from './find/expressions.ts'
import { parseGrants } from './grants.ts'
import { everything } from './list.ts'
import { jsonContentType, keyOf } from './member.ts'
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

const where = parseWhere('@ == 1')
const byValue = {
  match: { ...everything, match: compilePattern('1') },
  where: { ...everything, where },
}

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

test('what is found, counted and explained is within reach alone', async () => {
  const keys = ['a1', 'a2', 'b1', 'c1', 'c2', 'd1']
  await put('found', keys)
  const reader = storeOf(
    { collections: 'found', key_prefix: 'a', can: ['read'] },
    { collections: 'found', key_prefix: 'c', can: ['read'] },
  )
  const readable = keys.filter((key) => /^[ac]/.test(key))
  for (const order of [null, 'asc', 'desc', '@', '-@'] as const) {
    const asked = {
      ...emptyQuery,
      where,
      order: order === null ? null : parseFindOrder(order),
      limit: 1,
      count: true,
    }
    const found: string[] = []
    let cursor: string | null = null
    do {
      const page = await reader.find('found', { ...asked, cursor })
      found.push(...page.members.map(({ key }) => key))
      expect(page.count).toBe(readable.length)
      expect(page.explanation.examined).toBeLessThanOrEqual(2 * readable.length)
      cursor = page.next
      for (const key of ['b1', 'd1']) expect(cursor ?? '').not.toContain(key)
    } while (cursor !== null)
    const isDescending = order === 'desc' || order === '-@'
    expect(found).toEqual(isDescending ? readable.toReversed() : readable)
    const streamed: string[] = []
    for await (const part of reader.findAll('found', { ...asked, limit: 10 }))
      streamed.push(...part.map(({ key }) => key))
    expect(streamed).toEqual(found)
  }
  const others = ['b', 'd', 'x']
  for (const prefix of others) {
    expect((await faultOf(reader.find('found', { ...emptyQuery, where, prefix }))).code).toBe('forbidden')
    const stream = reader.findAll('found', { ...emptyQuery, where, prefix })
    expect((await faultOf(stream.next())).code).toBe('forbidden')
  }
  const writer = storeOf({ collections: 'found', can: ['write', 'admin'] })
  expect((await faultOf(writer.find('found', { ...emptyQuery, where }))).code).toBe('forbidden')
})

test('a feed with a filter shows nothing of what is out of reach, not that it leaves either', async () => {
  await put('feed', ['a1', 'b1'])
  await put('feed', ['a2', 'b2'], '2')
  const reader = storeOf({ collections: 'feed', key_prefix: 'a', can: ['read'] })
  const scope = { collection: 'feed', key: null, prefix: null, filter: null, where }
  const { events } = await reader.changes(scope, '', 100)
  expect(events.map(({ change, leaves = false }) => [keyOf(change), leaves])).toEqual([
    ['a1', false],
    ['a2', true],
  ])
})
