import { expect, test } from 'bun:test'
import { faultOf } from '../../test/support/engine.ts'
import { manualTimers } from '../../test/support/manual-timers.ts'
import { openTestEngine } from '../../test/support/test-engine.ts'
import { type Database, openDatabase } from '../core/database.ts'
import type { ForeignWrite } from '../core/foreign-write.ts'
import { maxBridgedNodes } from '../core/limits.ts'
import { bridgedNodes } from './bridged-nodes.ts'

function writeOf(node: string): ForeignWrite {
  return { op: 'delete', collection: 'c', key: 'k', cause: 'delete', origin: { node, clock: 1 } }
}

async function setUp() {
  const opened: { db: Database | null; commits: number } = { db: null, commits: 0 }
  const bridged = bridgedNodes(() => opened.db!)
  opened.db = await openDatabase({
    open: (onCommit) =>
      openTestEngine((changes, cursorAfter) => {
        opened.commits++
        onCommit(changes, cursorAfter)
      }),
    cacheBytes: 1 << 20,
    now: Date.now,
    timers: manualTimers(),
    followers: [bridged.follower],
    onError(error) {
      throw error
    },
  })
  return { bridged, opened, db: opened.db }
}

test('all nodes of which a bridge sends something are passed on, and each is stored once', async () => {
  const { bridged, opened, db } = await setUp()
  expect(bridged.has('n1')).toBe(false)
  for (let i = 0; i < 3; i++) await bridged.learn('n1', true, ['n1', 'n2', 'n1'].map(writeOf))
  expect([bridged.has('n1'), bridged.has('n2'), bridged.has('n3')]).toEqual([true, true, false])
  expect(opened.commits).toBe(1)
  // What others send of a node says nothing of what the node asks for.
  await bridged.learn('n3', false, [writeOf('n1')])
  await bridged.learn(null, false, [writeOf('n1')])
  await bridged.learn('n1', false, [writeOf('n2')])
  expect([bridged.has('n1'), bridged.has('n2')]).toEqual([true, true])
  await bridged.learn('n1', false, [writeOf('n1')])
  expect([bridged.has('n1'), bridged.has('n2')]).toEqual([false, true])
  await db.close()
})

test('more nodes than can be kept are refused, so that nothing is left out unnoticed', async () => {
  const { bridged, db } = await setUp()
  const nodes = Array.from({ length: maxBridgedNodes }, (_, i) => writeOf(`n${i}`))
  await bridged.learn('n0', true, nodes)
  expect((await faultOf(bridged.learn('x', true, [writeOf('x')]))).code).toBe('unprocessable')
  await bridged.learn('n0', true, nodes.slice(0, 10))
  await db.close()
})
