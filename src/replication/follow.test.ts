import { afterEach, expect, test } from 'bun:test'
import type { Kvist, ReplicaOptions, ReplicaPage } from '../../sdk/client.ts'
import { until } from '../../test/support/engine.ts'
import { manualTimers } from '../../test/support/manual-timers.ts'
import { openTestEngine } from '../../test/support/test-engine.ts'
import { type Database, openDatabase } from '../core/database.ts'
import { KvistError } from '../core/errors.ts'
import { type Follow, type FollowOptions, startFollowing } from './follow.ts'

/** A follower of a leader that says what the test lets it say. */

const opened: { stop(): unknown }[] = []
afterEach(async () => {
  for (const one of opened.splice(0).reverse()) await one.stop()
})

async function database(): Promise<Database> {
  const onError = (error: unknown) => {
    throw error
  }
  const options = { cacheBytes: 1024, now: Date.now, timers: manualTimers(), onError }
  const db = await openDatabase({ ...options, open: (onCommit) => openTestEngine(onCommit) })
  opened.push({ stop: () => db.close() })
  return db
}

interface Asked {
  readonly since: string
  readonly fill: boolean
  readonly waitMs: number
}

type Say = (asked: Asked) => Partial<ReplicaPage> | Error

const quiet: Partial<ReplicaPage> = { next: '9', at_end: true }

async function following(db: Database, say: Say, more: Partial<FollowOptions> = {}) {
  const asked: Asked[] = []
  const applied: string[] = []
  const warnings: string[] = []
  const script = { say }
  const nodes = {
    async replica(since: string, _from: string, { fill = false, waitMs = 0, signal }: ReplicaOptions) {
      const question = { since, fill, waitMs }
      asked.push(question)
      const said = script.say(question)
      if (said instanceof Error) throw said
      const page = {
        lines: '',
        node: 'leader1',
        next: since,
        at_end: true,
        term: 0,
        leaders: [],
        knows: '',
        ...said,
      }
      await Bun.sleep(1)
      signal?.throwIfAborted()
      return page
    },
  }
  const follow: Follow = await startFollowing({
    db,
    leader: { url: 'http://leader', nodes } as unknown as Kvist,
    async apply(lines) {
      applied.push(lines)
      return { failed: [] }
    },
    now: Date.now,
    sleep: () => Bun.sleep(1),
    log: { info() {}, warn: (message) => warnings.push(message) },
    onError(error) {
      throw error
    },
    ...more,
  })
  opened.push({ stop: () => follow.stop() })
  return { follow, asked, applied, warnings, script }
}

test('it reads everything from the beginning, then goes on where it was, also after a restart', async () => {
  const db = await database()
  const pages: Record<string, Partial<ReplicaPage>> = {
    '': { lines: 'a\nb\n', next: '2', at_end: false },
    '2': { lines: 'c\n', next: '3', at_end: true, term: 4 },
    '3': { next: '3' },
  }
  const { follow, asked, applied } = await following(db, ({ since }) => pages[since]!)
  await follow.wasCurrent
  await until(() => asked.length >= 3, 'it waits for changes')
  expect(applied).toEqual(['a\nb\n', 'c\n'])
  expect(asked.slice(0, 3)).toEqual([
    { since: '', fill: true, waitMs: 0 },
    { since: '2', fill: true, waitMs: 0 },
    { since: '3', fill: false, waitMs: 5000 },
  ])
  expect(follow.status()).toMatchObject({
    state: 'current',
    node: 'leader1',
    term: 4,
    received: 3,
    failures: 0,
  })
  await follow.stop()
  const again = await following(db, ({ since }) => pages[since]!)
  await again.follow.wasCurrent
  expect(again.asked[0]).toEqual({ since: '3', fill: false, waitMs: 0 })
  expect(again.follow.isFilled()).toBe(true)
  // A leader that does not respond any more: until when it had everything is known over a restart.
  await again.follow.stop()
  const third = await following(db, () => new Error('gone'))
  expect(third.follow.status().lastCurrentMs).toBeGreaterThan(Date.now() - 60_000)
})

test('a page that cannot be applied is read again, and the reason is shown', async () => {
  const failed = [{ line: 1, detail: 'the clock of the origin is 99 s ahead of this node' }]
  const state = { failures: 3 }
  const { follow, asked, warnings } = await following(
    await database(),
    ({ since }) => (since === '' ? { lines: 'a\n', next: '1', at_end: true } : quiet),
    { apply: async () => ({ failed: state.failures-- > 0 ? failed : [] }) },
  )
  await follow.wasCurrent
  expect(asked.slice(0, 4).map(({ since }) => since)).toEqual(['', '', '', ''])
  expect(follow.status()).toMatchObject({
    failures: 3,
    lastError: { detail: expect.stringContaining('99 s ahead') },
  })
  expect(warnings).toEqual(['the leader does not send changes'])
})

test.each(['compacted', 'invalid_cursor'] as const)('after %s it begins again', async (code) => {
  const { follow, asked, script, warnings } = await following(await database(), () => quiet)
  await follow.wasCurrent
  let isRefused = false
  script.say = ({ since }) => {
    if (since === '' || isRefused) return quiet
    isRefused = true
    return new KvistError(code, 'no')
  }
  const before = asked.length
  await until(() => asked.slice(before).some(({ since, fill }) => since === '' && fill), 'it begins again')
  expect(warnings).toEqual([
    'the feed of the leader does not reach back to where this node is: it gets everything',
  ])
  await until(() => follow.status().state === 'current', 'it has everything')
})

test('another node at the address of the leader: it gets everything of that', async () => {
  const { follow, asked, script, warnings } = await following(await database(), ({ waitMs }) =>
    waitMs === 0 ? quiet : { next: '9', lines: 'x\n' },
  )
  await follow.wasCurrent
  const before = asked.length
  script.say = ({ since }) =>
    since === '' ? { ...quiet, node: 'other1' } : { node: 'other1', next: since, lines: 'y\n' }
  await until(() => asked.slice(before).some(({ since, fill }) => since === '' && fill), 'it begins again')
  expect(warnings).toContain('the leader is another node than before: this node gets everything')
  await until(() => follow.status().node === 'other1', 'it follows')
})

test('a leader that is this node, or follows it over others, is a circle until that ends', async () => {
  const db = await database()
  const { follow, script } = await following(db, () => ({ ...quiet, leaders: ['x', db.nodeId] }))
  await until(() => follow.isCircular(), 'it notices')
  expect(follow.leaders()).toEqual(['leader1', 'x', db.nodeId])
  script.say = () => ({ ...quiet, node: db.nodeId })
  await until(() => follow.status().lastError!.detail.includes('--new-node-id'), 'it notices')
  expect(follow.isCircular()).toBe(true)
  script.say = () => quiet
  await until(() => !follow.isCircular(), 'it goes on')
})

test('to drain reads until nothing comes, and is an error if the leader does not respond', async () => {
  const db = await database()
  const { follow, script, applied } = await following(db, () => quiet)
  await follow.wasCurrent
  const rest = ['1\n', '2\n']
  // The leader was demoted for the node that drains.
  script.say = ({ waitMs }) =>
    waitMs > 0 ? quiet : { ...quiet, lines: rest.shift() ?? '', leaders: [db.nodeId] }
  await follow.drain(10_000)
  expect(applied).toEqual(['1\n', '2\n'])
  const { follow: other, script: its } = await following(await database(), () => quiet)
  await other.wasCurrent
  its.say = () => new Error('gone')
  await expect(other.drain(10_000)).rejects.toThrow('gone')
})
