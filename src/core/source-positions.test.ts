import { afterEach, expect, test } from 'bun:test'
import { manualTimers } from '../../test/support/manual-timers.ts'
import { openTestEngine } from '../../test/support/test-engine.ts'
import { type Database, openDatabase } from './database.ts'
import { sourcePositions } from './source-positions.ts'

const opened: Database[] = []
afterEach(async () => {
  for (const db of opened.splice(0)) await db.close()
})

async function store() {
  const timers = manualTimers()
  const db = await openDatabase({
    open: openTestEngine,
    cacheBytes: 1 << 16,
    now: () => 1000,
    onError(error) {
      throw error
    },
  })
  opened.push(db)
  const stored = async () => {
    const member = await db.get('_sources', 'n1')
    return member === null ? null : JSON.parse(String(member.value))
  }
  return { db, timers, stored }
}

test('a position moves from where it is, and not from elsewhere unless that is asked for', async () => {
  const { db, timers } = await store()
  const positions = sourcePositions(db, timers)
  expect(await positions.move('n1', { after: '3', to: '5' })).toBeNull()
  expect(await positions.move('n1', { after: null, to: '5' })).toBeNull()
  expect(await positions.move('n1', { after: '5', to: '7' })).toBe('5')
  expect(await positions.move('n1', { after: '5', to: '9' })).toBe('7')
  expect(await positions.move('n1', { after: '7', to: '8' })).toBe('7')
  expect(await positions.move('n1', { after: null, to: '2' })).toBe('8')
  expect(await positions.move('n2', { after: '2', to: '3' })).toBeNull()
})

test('the first position is stored at once, later ones together, and they are there after a restart', async () => {
  const { db, timers, stored } = await store()
  const positions = sourcePositions(db, timers)
  await positions.move('n1', { after: null, to: '1' })
  expect(await stored()).toBe('1')
  for (let i = 1; i < 9; i++) await positions.move('n1', { after: `${i}`, to: `${i + 1}` })
  expect(await stored()).toBe('1')
  timers.pass(1000)
  await Bun.sleep(0)
  expect(await stored()).toBe('9')
  // As after a crash: what was not stored is behind, and the sender is told.
  await positions.move('n1', { after: '9', to: '10' })
  expect(await sourcePositions(db, timers).move('n1', { after: '10', to: '11' })).toBe('9')
})
