import { afterEach, expect, test } from 'bun:test'
import { type DemoteResult, type Kvist, KvistHttpError, KvistUnreachableError } from '../../sdk/client.ts'
import { until } from '../../test/support/engine.ts'
import { manualTimers } from '../../test/support/manual-timers.ts'
import { openTestEngine } from '../../test/support/test-engine.ts'
import { type Database, openDatabase } from '../core/database.ts'
import type { Following } from './following.ts'
import { type LeadershipOptions, startLeadership } from './leadership.ts'
import { loadRole } from './role.ts'

/** Promotion and demotion, with a leader and a follower that say what the test lets them say. */

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

const leaderUrl = 'http://leader'
type Demote = () => Promise<Partial<DemoteResult>>

function conflict(term?: number): KvistHttpError {
  const problem = { code: 'conflict', detail: 'no', ...(term === undefined ? {} : { term }) }
  return new KvistHttpError(409, 'no', problem, null)
}

async function started(follow: string | null = leaderUrl, db?: Database) {
  const store = db ?? (await database())
  const steps: string[] = []
  const said = {
    isFilled: true,
    demote: (async () => ({ role: 'demoted' })) as Demote,
    drain: async () => {},
    warnings: [] as string[],
  }
  const startFollowing = async (url: string) => {
    steps.push(`follow ${url}`)
    const follower = {
      status: () => ({ node: 'leader1', term: 3, state: 'current' }),
      isCircular: () => false,
      leaders: () => ['leader1'],
      isFilled: () => said.isFilled,
      async drain() {
        await said.drain()
        steps.push('drain')
      },
      stop: async () => void steps.push('stop'),
    }
    return { follower, sending: () => null, stopSending: async () => {} } as unknown as Following
  }
  const options: LeadershipOptions = {
    db: store,
    follow,
    startFollowing,
    kvistOf: (url) =>
      ({
        nodes: {
          async demote(request: { term: number; of: string | null }) {
            steps.push(`demote ${url} ${request.of} ${request.term}`)
            return said.demote()
          },
        },
      }) as unknown as Kvist,
    sleep: () => Bun.sleep(1),
    log: { info() {}, warn: (message) => said.warnings.push(message) },
    onError(error) {
      throw error
    },
  }
  const leadership = await startLeadership(options)
  opened.push({ stop: () => leadership.stop() })
  return { leadership, steps, said, db: store }
}

const asked = { url: 'http://me', force: false }

test('the leader is demoted, then what it has is read, and then this node takes writes', async () => {
  const { leadership, steps, said, db } = await started()
  said.drain = async () => {
    expect(leadership.leader()).toEqual({ url: leaderUrl, why: expect.any(String) })
    expect((await loadRole(db, leaderUrl)).role).toBe('follower')
  }
  expect(await leadership.promote(asked)).toMatchObject({
    term: 4,
    former: { url: leaderUrl, isDemoted: true, failure: null },
  })
  expect(steps).toEqual([`follow ${leaderUrl}`, `demote ${leaderUrl} leader1 4`, 'drain'])
  expect(leadership.leader()).toBeNull()
  expect(await loadRole(db, leaderUrl)).toMatchObject({ role: 'leader', term: 4, isFormerDemoted: true })
  expect(await leadership.promote(asked)).toEqual({ term: 4, before: null, former: null })
})

test('a leader that does not send all that it has: this node goes on following', async () => {
  const { leadership, steps, said } = await started()
  said.drain = async () => {
    throw new Error('gone')
  }
  await expect(leadership.promote(asked)).rejects.toThrow('did not send all')
  expect(steps.at(-1)).toBe(`follow ${leaderUrl}`)
  expect(leadership.status()).toMatchObject({ role: 'follower' })
  said.drain = async () => {}
  expect(await leadership.promote(asked)).toMatchObject({ former: { isDemoted: true } })
})

test.each<[string, Demote]>([
  ['does not respond', () => Promise.reject(new KvistUnreachableError(leaderUrl, null))],
  ['refuses', () => Promise.reject(conflict())],
  ['follows another', async () => ({ role: 'follower' })],
])('a leader that %s: without force nothing changes, with it nothing is read', async (_name, demote) => {
  const { leadership, steps, said } = await started()
  said.demote = demote
  await expect(leadership.promote(asked)).rejects.toMatchObject({ code: 'conflict' })
  expect(leadership.status().role).toBe('follower')
  expect(steps).not.toContain('stop')
  const promotion = await leadership.promote({ ...asked, force: true })
  expect(promotion.former).toMatchObject({ isDemoted: false, failure: expect.any(String) })
  expect(steps).not.toContain('drain')
  expect(leadership.leader()).toBeNull()
})

test('a follower that has not had everything does not even ask', async () => {
  const { leadership, steps, said } = await started()
  said.isFilled = false
  expect(leadership.unreadiness()).toContain('not had everything')
  await expect(leadership.promote(asked)).rejects.toThrow('not had everything')
  expect(steps).toEqual([`follow ${leaderUrl}`])
})

test('a former leader is demoted when it is back, also after a restart', async () => {
  const { leadership, said, db } = await started()
  said.demote = () => Promise.reject(new KvistUnreachableError(leaderUrl, null))
  await leadership.promote({ ...asked, force: true })
  await leadership.stop()
  const again = await started(leaderUrl, db)
  expect(again.leadership.leader()).toBeNull()
  await until(() => again.steps.includes(`demote ${leaderUrl} leader1 4`), 'it is notified')
  await until(async () => {
    const role = await loadRole(db, leaderUrl)
    return role.role === 'leader' && role.isFormerDemoted
  }, 'that is kept')
  await again.leadership.stop()
  const third = await started(leaderUrl, db)
  expect(third.steps).toEqual([])
})

test('a former leader that was promoted later has the last word; one of the same term has not', async () => {
  const { leadership, said } = await started()
  said.demote = () => Promise.reject(new KvistUnreachableError(leaderUrl, null))
  await leadership.promote({ ...asked, force: true })
  said.demote = () => Promise.reject(conflict(4))
  await until(() => said.warnings.includes('the former leader does not give way'), 'it is logged')
  expect(leadership.leader()).toBeNull()
  const other = await started()
  other.said.demote = () => Promise.reject(new KvistUnreachableError(leaderUrl, null))
  await other.leadership.promote({ ...asked, force: true })
  other.said.demote = () => Promise.reject(conflict(5))
  await until(() => other.leadership.status().role === 'demoted', 'it gives way')
  expect(other.leadership.status()).toMatchObject({ term: 5, leader: leaderUrl })
})

test('a leader is demoted by a later term only, if it is meant, and once it follows no more', async () => {
  const { leadership, db } = await started(null)
  const request = { node: 'other1', url: 'http://other', term: 1, of: db.nodeId }
  await expect(leadership.demote({ ...request, of: 'another' })).rejects.toThrow('not another')
  await expect(leadership.demote({ ...request, term: 0 })).rejects.toThrow('later promotion')
  // Its own address may have been moved to it.
  expect(await leadership.demote({ ...request, node: db.nodeId })).toEqual({ role: 'leader', term: 0 })
  expect(leadership.leader()).toBeNull()
  expect(await leadership.demote(request)).toEqual({ role: 'demoted', term: 1 })
  expect(leadership.leader()).toMatchObject({ url: 'http://other' })
  expect(leadership.leaders()).toEqual(['other1'])
  expect(leadership.unreadiness()).toContain('http://other')
  await leadership.stop()
  const again = await started(null, db)
  expect(again.leadership.leader()).toMatchObject({ url: 'http://other' })
  expect(again.said.warnings).toHaveLength(1)
  await expect(again.leadership.promote(asked)).rejects.toThrow('has not followed since')
  expect(await again.leadership.promote({ ...asked, force: true })).toMatchObject({ term: 2 })
  const follower = await started()
  expect(await follower.leadership.demote({ ...request, of: null })).toEqual({ role: 'follower', term: 0 })
})

test('one change of the role at a time', async () => {
  const { leadership, said } = await started()
  const held = Promise.withResolvers<void>()
  said.drain = () => held.promise
  const first = leadership.promote(asked)
  await expect(leadership.promote(asked)).rejects.toMatchObject({ code: 'busy' })
  held.resolve()
  await first
})
