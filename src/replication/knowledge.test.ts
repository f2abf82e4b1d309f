import { expect, test } from 'bun:test'
import { manualTimers } from '../../test/support/manual-timers.ts'
import { openTestEngine } from '../../test/support/test-engine.ts'
import { msToStamp } from '../core/clock.ts'
import { type Database, openDatabase } from '../core/database.ts'
import { maxKnownNodes } from '../core/limits.ts'
import { formatKnowledge, type Knowledge, nodeKnowledge, parseKnowledge } from './knowledge.ts'

const clock = { nowMs: Date.UTC(2026, 5, 1, 12) }

async function setUp(): Promise<{
  knowledge: Knowledge
  again: () => Promise<Knowledge>
  db: Database
  commits: () => number
}> {
  let db: Database | null = null
  let commits = 0
  const make = () => nodeKnowledge({ db: () => db!, now: () => clock.nowMs })
  const knowledge = make()
  const engines: Awaited<ReturnType<typeof openTestEngine>>[] = []
  db = await openDatabase({
    async open(onCommit) {
      engines.push(
        await openTestEngine((changes, cursorAfter) => {
          commits++
          onCommit(changes, cursorAfter)
        }),
      )
      return engines[0]!
    },
    cacheBytes: 1 << 20,
    now: () => clock.nowMs,
    timers: manualTimers(),
    followers: [knowledge.follower],
    onError(error) {
      throw error
    },
  })
  return {
    knowledge,
    db,
    commits: () => commits,
    async again() {
      const fresh = make()
      await fresh.follower.load(engines[0]!)
      return fresh
    },
  }
}

async function learn(knowledge: Knowledge, stamps: ReadonlyMap<string, number>): Promise<void> {
  knowledge.learn(stamps)
  await knowledge.save('maybe')
}

test('the largest stamp of each node stays, also over a restart, and is stored once a second', async () => {
  const { knowledge, again, db, commits } = await setUp()
  expect(knowledge.text()).toBe('nothing')
  await learn(
    knowledge,
    new Map([
      ['n1', 10],
      ['n2', 20],
    ]),
  )
  await learn(
    knowledge,
    new Map([
      ['n1', 5],
      ['n2', 21],
      [db.nodeId, 99],
    ]),
  )
  expect(knowledge.text()).toBe('n2=21,n1=10')
  for (const [node, stamp, isKnown] of [
    ['n1', 10, true],
    ['n1', 11, false],
    ['n2', 21, true],
    ['n3', 1, false],
  ] as const)
    expect(knowledge.has({ node, clock: stamp })).toBe(isKnown)
  expect(knowledge.has({ node: db.nodeId, clock: 1000 })).toBe(true)
  expect(commits()).toBe(1)
  expect((await again()).text()).toBe('n2=20,n1=10')
  clock.nowMs += 1000
  await learn(knowledge, new Map([['n1', 12]]))
  expect((await again()).text()).toBe('n2=21,n1=12')
  await learn(knowledge, new Map([['n1', 13]]))
  await knowledge.save()
  await knowledge.save()
  expect([(await again()).text(), commits()]).toEqual(['n2=21,n1=13', 3])
  await db.close()
})

test('stamps that lie ahead are not believed, and the oldest nodes are forgotten', async () => {
  const { knowledge, again, db } = await setUp()
  await learn(knowledge, new Map([['n', msToStamp(clock.nowMs + 3_600_000)]]))
  expect(knowledge.text()).toBe('nothing')
  await learn(knowledge, new Map(Array.from({ length: maxKnownNodes + 5 }, (_, i) => [`n${i}`, i + 1])))
  expect(knowledge.has({ node: 'n4', clock: 1 })).toBe(false)
  expect(knowledge.has({ node: 'n5', clock: 6 })).toBe(true)
  expect(parseKnowledge(knowledge.text()).stamps.size).toBe(maxKnownNodes)
  expect((await again()).has({ node: 'n4', clock: 1 })).toBe(false)
  await db.close()
})

test('what is sent fits into a header, however long the names of nodes are', async () => {
  const { knowledge, db } = await setUp()
  const name = (i: number) => `${'x'.repeat(60)}${String(i).padStart(4, '0')}`
  await learn(knowledge, new Map(Array.from({ length: maxKnownNodes }, (_, i) => [name(i), 10 ** 12 + i])))
  expect(knowledge.text().length).toBeLessThan(6 * 1024)
  expect(knowledge.text()).toStartWith(`${name(maxKnownNodes - 1)}=`)
  await db.close()
})

test.each<[text: string, stamps: [string, number][], isComplete: boolean]>([
  ['nothing', [], false],
  ['nothing,*', [], true],
  ['a=1', [['a', 1]], false],
  [
    ' a=1 , b2=30 ,*',
    [
      ['a', 1],
      ['b2', 30],
    ],
    true,
  ],
  ['', [], false],
  ['A=1,a=x,a,=1,a=-1,a=1e3,b=2=3, ,"', [], false],
])('%s is read, whatever it is', (text, stamps, isComplete) => {
  const read = parseKnowledge(text)
  expect([[...read.stamps], read.isComplete]).toEqual([stamps, isComplete])
})

test('what is sent is what is read', () => {
  expect(parseKnowledge(formatKnowledge('a=1,b=2', true))).toEqual({
    stamps: new Map([
      ['a', 1],
      ['b', 2],
    ]),
    isComplete: true,
  })
})
