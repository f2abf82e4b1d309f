import { afterEach, expect, test } from 'bun:test'
import { faultOf, newFolder } from '../../test/support/engine.ts'
import { manualTimers } from '../../test/support/manual-timers.ts'
import { openTestEngine } from '../../test/support/test-engine.ts'
import { openSqlite } from '../engines/sqlite/engine.ts'
import { type Database, openDatabase } from './database.ts'
import type { Engine, OnCommit } from './engine.ts'
import { noSettings } from './settings.ts'

/** Writes of other systems, which are not sent on. */

const noonMs = Date.UTC(2026, 5, 1, 12)
const clock = { nowMs: noonMs }
const opened: Database[] = []
afterEach(async () => {
  for (const db of opened.splice(0)) await db.close()
  clock.nowMs = noonMs
})

async function open(openEngine: (onCommit: OnCommit) => Promise<Engine> = openTestEngine): Promise<Database> {
  const db = await openDatabase({
    open: (onCommit) => openEngine(onCommit),
    cacheBytes: 1 << 20,
    now: () => clock.nowMs,
    timers: manualTimers(),
    onError(error) {
      throw error
    },
  })
  opened.push(db)
  return db
}

const ref = { collection: 'c', key: 'k' }
const json = (value: unknown, expiresAtMs: number | null = null) => ({
  value: JSON.stringify(value),
  contentType: 'application/json',
  flags: 0,
  expiresAtMs,
})

test('are of a node that stands for other systems, whatever was there', async () => {
  const db = await open()
  const node = `local${db.nodeId}`
  const first = await db.putUnmirrored(ref, json(1))
  expect(first).toMatchObject({ existed: false, createdAtMs: noonMs, expiresAtMs: null })
  expect(await db.get('c', 'k')).toMatchObject({ value: '1', node, revision: first.revision })
  clock.nowMs += 1000
  await db.put('c', 'k', json(2))
  expect(await db.get('c', 'k')).toMatchObject({ value: '2', node: '' })
  clock.nowMs += 1000
  const again = await db.putUnmirrored(ref, json(3, clock.nowMs + 5000))
  expect(again).toMatchObject({ existed: true, createdAtMs: noonMs, expiresAtMs: clock.nowMs + 5000 })
  expect(await db.get('c', 'k')).toMatchObject({ value: '3', node, revision: again.revision })
  clock.nowMs += 5000
  expect(await db.putUnmirrored(ref, json(4))).toMatchObject({ existed: false, createdAtMs: clock.nowMs })
})

test('a delete leaves a tombstone of that node, and none where there was nothing', async () => {
  const db = await open()
  expect(await db.deleteUnmirrored(ref)).toBe(0)
  await db.put('c', 'k', json(1))
  expect(await db.deleteUnmirrored(ref)).toBeGreaterThan(1)
  expect(await db.get('c', 'k')).toBeNull()
  expect(await db.deleteUnmirrored(ref)).toBe(0)
  const { events } = await db.changes({ ...ref, prefix: null, filter: null }, '', 10)
  expect(events.map(({ change }) => change)).toMatchObject([
    { type: 'delete', tombstone: { node: `local${db.nodeId}` } },
  ])
  await db.put('c', 'k', json(2, noonMs + 1))
  clock.nowMs += 1
  expect(await db.deleteUnmirrored(ref)).toBe(0)
})

test('of many at once each is done, between other writes too', async () => {
  const db = await open()
  const writes = Array.from({ length: 60 }, (_, i) =>
    i % 3 === 0 ? db.put('c', 'k', json(i)) : db.putUnmirrored(ref, json(i)),
  )
  const written = await Promise.all(writes)
  expect(new Set(written.map(({ revision }) => revision)).size).toBe(60)
  const last = written.toSorted((a, b) => a.revision - b.revision).at(-1)!
  expect(await db.get('c', 'k')).toMatchObject({ value: `${written.indexOf(last)}`, revision: last.revision })
})

test('are newer than what is stored, also after a restart with a clock that was set back', async () => {
  const dir = newFolder()
  const onDisk = (onCommit: OnCommit) => openSqlite({ dir, durability: 'relaxed', onCommit })
  const before = await open(onDisk)
  await before.putUnmirrored(ref, json('before'))
  await before.put('c', 'own', json('before'))
  await opened.pop()!.close()
  clock.nowMs -= 3_600_000
  const after = await open(onDisk)
  await after.putUnmirrored(ref, json('after'))
  await after.putUnmirrored({ collection: 'c', key: 'own' }, json('after'))
  for (const key of ['k', 'own'])
    expect(await after.get('c', key)).toMatchObject({ value: '"after"', node: `local${after.nodeId}` })
  // A write of a client that follows is newer in turn.
  await after.put('c', 'k', json('client'))
  expect(await after.get('c', 'k')).toMatchObject({ value: '"client"', node: '' })
})

test('keep within quotas', async () => {
  const db = await open()
  await db.setSettings('c', { ...noSettings, maxMembers: 1, maxValueBytes: 10 })
  expect((await faultOf(db.putUnmirrored(ref, json('x'.repeat(20))))).code).toBe('quota_exceeded')
  await db.putUnmirrored(ref, json(1))
  const other = db.putUnmirrored({ collection: 'c', key: 'other' }, json(1))
  expect((await faultOf(other)).code).toBe('quota_exceeded')
  await db.putUnmirrored(ref, json(2))
  await db.deleteUnmirrored(ref)
  await db.putUnmirrored({ collection: 'c', key: 'other' }, json(1))
})
