import { afterEach, expect, test } from 'bun:test'
import { until } from '../../../test/support/engine.ts'
import { manualTimers } from '../../../test/support/manual-timers.ts'
import type { Commit, CommitResult, Engine, ExpiringRef } from '../engine.ts'
import { KvistError } from '../errors.ts'
import { nextTick } from '../next-tick.ts'
import { transformsOf } from '../transforms.ts'
import { writeGate } from '../writes.ts'
import { startSweeper } from './sweeper.ts'

function fail(error: unknown): never {
  throw error
}

const timers = manualTimers()
afterEach(() => expect(timers.running()).toBe(0))

/** An engine in which so many members are due, and that may fail. */
function engineWith(dueMembers: number) {
  const commits: Commit[] = []
  const due: ExpiringRef[] = Array.from({ length: dueMembers }, (_, i) => ({
    collection: 'c',
    key: `k${i}`,
    revision: i + 1,
    expiresAtMs: i,
  }))
  const state = { fault: null as Error | null, commits, due, looks: 0, renewed: new Set<string>() }
  async function commit(commit: Commit): Promise<CommitResult> {
    if (state.fault !== null) throw state.fault
    commits.push(commit)
    // Every tenth was written again in the meantime.
    const written = commit.writes.map((write) => {
      due.splice(
        due.findIndex(({ key }) => key === write.key),
        1,
      )
      const revision = Number(write.key.slice(1)) % 10 === 0 ? 0 : 1000
      return { revision, createdAtMs: 0, clock: 0, existed: false }
    })
    return { ok: true, written }
  }
  const engine = {
    expiring(_atMs: number, limit: number) {
      state.looks++
      return due.slice(0, limit)
    },
    commit,
  } as unknown as Engine
  const transforms = transformsOf(
    { get: () => undefined },
    { run: (_names, content) => Promise.resolve(content) },
  )
  const sweep = (nowMs: number, onError: (error: unknown) => void) => {
    const now = () => nowMs
    return startSweeper(
      engine,
      writeGate({
        engine,
        transforms,
        now,
        onTouch() {},
        quotasOf: () => undefined,
        makeRoom: async () => {},
      }),
      ({ key }) => state.renewed.has(key),
      now,
      onError,
      timers,
    )
  }
  return { sweep, state }
}

test('sweeps what is due in batches, each member only as it was found, and counts what it took', async () => {
  const { sweep, state } = engineWith(1200)
  const sweeper = sweep(5000, fail)
  timers.pass(999)
  expect(state.commits).toEqual([])
  timers.pass(1)
  await until(() => state.due.length === 0, 'all are swept')
  await sweeper.stop()
  expect(state.commits.map(({ writes }) => writes.length)).toEqual([500, 500, 200])
  expect(state.commits[0]).toMatchObject({ checks: [], nowMs: 5000 })
  expect(state.commits[1]!.writes[3]).toEqual({
    op: 'delete',
    collection: 'c',
    key: 'k503',
    cause: 'expire',
    ifRevision: 504,
    ifExpiresAtMs: 503,
  })
  expect(sweeper.swept()).toBe(1080)
})

test('a sweep on demand takes all that is due, and calls during one share the next', async () => {
  const { sweep, state } = engineWith(600)
  const sweeper = sweep(5000, fail)
  const calls = Array.from({ length: 50 }, () => sweeper.sweepNow())
  expect(new Set(calls).size).toBe(2)
  await Promise.all(calls)
  expect(state.commits.map(({ writes }) => writes.length)).toEqual([500, 100])
  // Twice in the first sweep, and once more in the one after it.
  expect(state.looks).toBe(3)
  state.due.push({ collection: 'c', key: 'k2', revision: 701, expiresAtMs: 1 })
  state.fault = new KvistError('storage_failed', 'the log cannot be written')
  const failed = [sweeper.sweepNow(), sweeper.sweepNow()]
  expect((await Promise.allSettled(failed)).map(({ status }) => status)).toEqual(['rejected', 'rejected'])
  state.fault = null
  await sweeper.sweepNow()
  expect(state.due).toEqual([])
  await sweeper.stop()
})

test('a failed sweep is reported and repeated', async () => {
  const { sweep, state } = engineWith(3)
  const errors: unknown[] = []
  state.fault = new KvistError('storage_full', 'the disk is full')
  const sweeper = sweep(0, (error) => errors.push(error))
  timers.pass(1000)
  await until(() => errors.length > 0, 'the error is reported')
  expect(errors).toEqual([state.fault])
  state.fault = null
  timers.pass(1000)
  await until(() => state.due.length === 0, 'all are swept')
  await sweeper.stop()
  expect(sweeper.swept()).toBe(2)
})

test('a stop waits for the batch under way and begins no other', async () => {
  const batches = 200
  const { sweep, state } = engineWith(500 * batches)
  const sweeper = sweep(0, fail)
  timers.pass(1000)
  await until(() => state.commits.length > 0, 'it sweeps')
  await sweeper.stop()
  const { length } = state.commits
  expect(length).toBeLessThan(batches)
  timers.pass(5000)
  for (let i = 0; i < 5; i++) await nextTick()
  expect(state.commits.length).toBe(length)
})

test('a stop is done only when the commit under way is', async () => {
  let finish = () => {}
  const committing = new Promise<void>((resolve) => {
    finish = resolve
  })
  let commits = 0
  const sweeper = startSweeper(
    { expiring: () => [{ collection: 'c', key: 'k', revision: 1, expiresAtMs: 1 }] },
    {
      async commit() {
        commits++
        await committing
        return []
      },
    },
    () => false,
    () => 5,
    fail,
    timers,
  )
  timers.pass(1000)
  await until(() => commits === 1, 'it sweeps')
  let isStopped = false
  const stopping = sweeper.stop().then(() => {
    isStopped = true
  })
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve))
  expect(isStopped).toBe(false)
  finish()
  await stopping
})

test('members with a renewal that is not written yet are spared', async () => {
  const { sweep, state } = engineWith(3)
  const sweeper = sweep(5000, fail)
  state.renewed = new Set(['k1'])
  timers.pass(1000)
  await until(() => state.due.length === 1, 'the others are swept')
  expect(state.due).toMatchObject([{ key: 'k1' }])
  timers.pass(1000)
  for (let i = 0; i < 5; i++) await nextTick()
  expect(state.commits).toHaveLength(1)
  state.renewed = new Set()
  timers.pass(1000)
  await until(() => state.due.length === 0, 'it is swept')
  await sweeper.stop()
})
