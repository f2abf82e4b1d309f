import { afterEach, expect, test } from 'bun:test'
import { faultOf } from '../../test/support/engine.ts'
import { openMemory } from '../engines/memory/engine.ts'
import { msToStamp } from './clock.ts'
import { type Database, openDatabase } from './database.ts'
import type { Scope } from './feed/scope.ts'
import type { ForeignWrite } from './foreign-write.ts'
import { maxClockAheadMs, maxTimeMs } from './limits.ts'
import { noSettings } from './settings.ts'

/** Writes of other nodes, as they pass the gate. */

const noonMs = Date.UTC(2026, 5, 1, 12)

const opened: Database[] = []
afterEach(async () => {
  for (const db of opened.splice(0)) await db.close()
})

async function open(): Promise<Database> {
  const db = await openDatabase({
    open: async (onCommit) => openMemory({ onCommit }),
    cacheBytes: 1 << 20,
    now: () => noonMs,
    onError(error) {
      throw error
    },
    processes: [{ name: 'mark', run: (draft) => ({ ...draft, value: '"marked"' }) }],
  })
  opened.push(db)
  return db
}

function putOf(
  key: string,
  origin: Partial<ForeignWrite['origin'] & { createdAtMs: number }> = {},
): ForeignWrite {
  return {
    ...{
      op: 'put',
      collection: 'c',
      key,
      value: '1',
      contentType: 'application/json',
      flags: 3,
      expiresAtMs: null,
    },
    origin: { clock: msToStamp(noonMs), node: 'n1', createdAtMs: noonMs - 1000, ...origin },
  } as ForeignWrite
}

test('are stored as they are, whatever the settings of their collection, and say whether they were newer', async () => {
  const db = await open()
  await db.setSettings('c', {
    ...{ ...noSettings, processes: ['mark'], defaultTtlMs: 1000 },
    schema: '{"type":"string"}',
  })
  const [first, again] = await db.replicate([putOf('k'), putOf('k')])
  expect([first!.superseded, again!.superseded]).toEqual([undefined, true])
  const member = await db.get('c', 'k')
  expect(member).toMatchObject({
    value: '1',
    node: 'n1',
    flags: 3,
    expiresAtMs: null,
    createdAtMs: noonMs - 1000,
  })
  const [gone] = await db.replicate([
    {
      op: 'delete',
      collection: 'c',
      key: 'k',
      cause: 'delete',
      origin: { clock: msToStamp(noonMs) + 1, node: 'n2' },
    },
  ])
  expect(gone!.existed).toBe(true)
  expect(await db.removalCause('c', 'k')).toBe('delete')
  expect(db.nodeId).toMatch(/^[a-z0-9]{12}$/)
})

test.each([
  ['a clock too far ahead', { clock: msToStamp(noonMs + maxClockAheadMs + 1) }],
  ['a clock that is no stamp', { clock: 1.5 }],
  ['a clock before time', { clock: 0 }],
  ['no node', { node: '' }],
  ['a node that is no id', { node: 'N 1' }],
  ['a node with a long id', { node: 'n'.repeat(65) }],
  ['a creation after time', { createdAtMs: maxTimeMs + 1 }],
  ['a creation before time', { createdAtMs: -1 }],
  ['a creation that is no time', { createdAtMs: Number.NaN }],
])('with %s are refused, and nothing is done', async (_name, origin) => {
  const db = await open()
  const fault = await faultOf(db.replicate([putOf('good'), putOf('bad', origin)]))
  expect(fault.code).toBe('unprocessable')
  expect(await db.get('c', 'good')).toBeNull()
})

test("kvist's own collections are in lists of collections and in the feed for those that are entitled to it", async () => {
  const db = await open()
  await db.setSettings('c', { ...noSettings, defaultTtlMs: 1000 })
  await db.put('c', 'k', { value: '1', contentType: 'application/json', flags: 0, expiresAtMs: null })
  const scope: Scope = { collection: null, key: null, prefix: null, filter: null }
  const own: Scope = { ...scope, own: true }
  const names = async (given: 'own' | undefined) => (await db.collections(given)).map(({ name }) => name)
  expect([await names(undefined), await names('own')]).toEqual([['c'], ['_settings', 'c']])
  const inFeed = async (of: Scope) =>
    (await db.changes(of, '', 10)).events.map(({ change }) => change.collection)
  expect(await inFeed(scope)).toEqual(['c'])
  expect(await inFeed(own)).toEqual(['_settings', 'c'])
  const ofSettings = { ...scope, collection: '_settings' }
  expect([await inFeed(ofSettings), await inFeed({ ...ofSettings, own: true })]).toEqual([[], ['_settings']])
  const wakes: string[] = []
  const watchers = [scope, own, ofSettings, { ...ofSettings, key: 'c', own: true } as const].map((of, i) =>
    db.watch(of, null, () => wakes.push(String(i))),
  )
  await db.setSettings('c', null)
  await new Promise((resolve) => setImmediate(resolve))
  expect(wakes).toEqual(['3', '1'])
  for (const watcher of watchers) watcher.close()
})
