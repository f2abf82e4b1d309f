import { afterEach, expect, test } from 'bun:test'
import { type ComparedStore, comparedStore, everything } from '../../test/support/compared-store.ts'
import { until } from '../../test/support/engine.ts'
import { msToStamp } from '../core/clock.ts'
import { unmirroredNode } from '../core/origin.ts'
import type { ComparedNode } from './compared-node.ts'
import { type Healer, type HealOptions, startHealer } from './heal.ts'
import { noteStart } from './history.ts'
import { saveProgress } from './progress.ts'

const noonMs = Date.UTC(2026, 5, 1, 12)
const dayMs = 24 * 3_600_000
const clock = { nowMs: noonMs }
const opened: ComparedStore[] = []
const healers: Healer[] = []
afterEach(async () => {
  for (const one of healers.splice(0)) await one.stop()
  for (const { db } of opened.splice(0)) await db.close()
})

async function twoStores(): Promise<[ComparedStore, ComparedStore]> {
  clock.nowMs = noonMs
  const made = await Promise.all([comparedStore(() => clock.nowMs), comparedStore(() => clock.nowMs)])
  opened.push(...made)
  return made as [ComparedStore, ComparedStore]
}

const json = (value: unknown, expiresAtMs: number | null = null) => ({
  value: JSON.stringify(value),
  contentType: 'application/json',
  flags: 0,
  expiresAtMs,
})

async function send(from: ComparedStore, to: ComparedStore, key: string): Promise<void> {
  const lines: string[] = []
  for await (const line of from.node.entries([{ collection: 'c', key }])) lines.push(line)
  await to.node.apply(lines, from.db.nodeId)
}

const typeOf = async ({ db }: ComparedStore, key: string) =>
  (await db.states([{ collection: 'c', key }], clock.nowMs)).states[0]!.type

interface Healing {
  readonly healer: Healer
  readonly lines: string[]
  /** The pauses that were asked for. */
  readonly pauses: number[]
}

/** Starts a healer that runs only when it is told to. */
function heal(from: ComparedStore, to: ComparedStore, given: Partial<HealOptions> = {}): Healing {
  const lines: string[] = []
  const pauses: number[] = []
  const note = (message: string, fields = {}) => lines.push(`${message} ${JSON.stringify(fields)}`)
  const healer = startHealer({
    local: from.node,
    target: { ...to.node, name: 'http://target' },
    everyMs: 3_600_000,
    isCompared: everything.isCompared,
    isCurrent: () => true,
    wroteHere: () => true,
    now: () => clock.nowMs,
    async sleep(ms, signal) {
      pauses.push(ms)
      if (ms < 10_000) return
      await new Promise<void>((resolve) => {
        if (signal.aborted) resolve()
        signal.addEventListener('abort', () => resolve(), { once: true })
      })
    },
    log: { info: note, warn: note },
    onError(error) {
      throw error
    },
    ...given,
  })
  healers.push(healer)
  return { healer, lines, pauses }
}

async function oneRun({ healer }: Healing): Promise<void> {
  const { runs, failures } = healer.status()
  healer.healNow()
  await until(() => {
    const now = healer.status()
    return !now.isRunning && now.runs + now.failures > runs + failures
  }, 'a run has ended')
}

test('a target gets what it lacks, older versions are replaced, and deletes that it missed are done', async () => {
  const [a, b] = await twoStores()
  for (const key of ['same', 'old', 'deleted']) {
    await a.db.put('c', key, json(1))
    await send(a, b, key)
  }
  clock.nowMs += 5000
  await a.db.put('c', 'old', json(2))
  await a.db.put('c', 'lacking', json(1))
  await a.db.delete('c', 'deleted')
  const healing = heal(a, b)
  await oneRun(healing)
  expect(healing.healer.status()).toMatchObject({
    mended: 3,
    undecided: 0,
    failures: 0,
    runs: 1,
    lastRunMs: clock.nowMs,
  })
  expect(await b.db.get('c', 'old')).toMatchObject({ value: '2' })
  expect([await typeOf(b, 'lacking'), await typeOf(b, 'deleted')]).toEqual(['put', 'delete'])
  expect(healing.lines.join()).toContain('{"target":"http://target","sent":3,"fetched":0,"removed":0}')
  // Nothing is left to do, and nothing is said.
  await oneRun(healing)
  expect(healing.healer.status()).toMatchObject({ mended: 3, runs: 2 })
  expect(healing.lines).toHaveLength(1)
})

test('a mirror goes one way: what others wrote at the target stays there, and what this node lost comes back', async () => {
  const [a, b] = await twoStores()
  await a.db.put('c', 'lost', json(1))
  const origin = { node: a.db.nodeId, clock: msToStamp(noonMs) + 7, createdAtMs: noonMs }
  await b.db.replicate([{ op: 'put', collection: 'c', key: 'lost', ...json(2), origin }])
  await b.db.put('c', 'of b', json(1))
  await a.db.replicate([
    {
      op: 'put',
      collection: 'c',
      key: 'private',
      ...json(3),
      origin: { ...origin, node: unmirroredNode(a.db.nodeId) },
    },
  ])
  clock.nowMs += 5000
  const healing = heal(a, b)
  await oneRun(healing)
  expect(await a.db.get('c', 'lost')).toMatchObject({ value: '2', clock: origin.clock })
  expect([await typeOf(a, 'of b'), await typeOf(b, 'private')]).toEqual(['none', 'none'])
  expect(healing.healer.status()).toMatchObject({ mended: 1, undecided: 0 })
})

test('what was only renewed at the target stays as it is here, and what has expired here does not come back', async () => {
  const [a, b] = await twoStores()
  const expiresMs = { 'renewed there': noonMs + dayMs, 'expired here': noonMs + 1000 }
  for (const [key, ms] of Object.entries(expiresMs)) {
    await a.db.put('c', key, json(1, ms))
    await send(a, b, key)
    await b.db.touch({ collection: 'c', key }, noonMs + 9 * dayMs)
  }
  clock.nowMs += 5000
  const healing = heal(a, b)
  await oneRun(healing)
  expect(healing.healer.status()).toMatchObject({ mended: 0, undecided: 0, failures: 0 })
  expect(await a.db.get('c', 'renewed there')).toMatchObject({ expiresAtMs: noonMs + dayMs })
  expect(await a.db.get('c', 'expired here')).toBeNull()
  expect(await typeOf(b, 'expired here')).toBe('put')
})

/** Members that a deleted and forgot while b was away: of a, of b, one that expires, and one that a never had. */
async function afterLongAbsence(): Promise<[ComparedStore, ComparedStore]> {
  const [a, b] = await twoStores()
  await a.db.put('c', 'of a', json(1))
  await a.db.put('c', 'expiring', json(1, noonMs + 99 * dayMs))
  await b.db.put('c', 'of b', json(1))
  for (const key of ['of a', 'expiring']) await send(a, b, key)
  await send(b, a, 'of b')
  await b.db.put('c', 'never sent', json(1))
  clock.nowMs += 5000
  for (const key of ['of a', 'expiring', 'of b']) await a.db.delete('c', key)
  clock.nowMs += 8 * dayMs
  expect(await a.engine.forget(clock.nowMs - 7 * dayMs, 10)).toBe(3)
  return [a, b]
}

test('a delete that the target missed for longer than tombstones are kept is done, where this node wrote the member', async () => {
  const [a, b] = await afterLongAbsence()
  const healing = heal(a, b)
  await oneRun(healing)
  expect(await Promise.all(['of a', 'expiring', 'of b', 'never sent'].map((key) => typeOf(b, key)))).toEqual([
    'delete',
    'put',
    'put',
    'put',
  ])
  // One may have been renewed at the target, and the others are not this node's: nothing comes back here.
  expect(await Promise.all(['of a', 'expiring', 'of b', 'never sent'].map((key) => typeOf(a, key)))).toEqual([
    'delete',
    'none',
    'none',
    'none',
  ])
  expect(healing.healer.status()).toMatchObject({ mended: 1, undecided: 1 })
  expect(healing.lines.join()).toContain('"members":1,"some":["c/expiring"]')
  // The same is not said again at each run.
  const { length } = healing.lines
  await oneRun(healing)
  expect(healing.lines).toHaveLength(length)
})

test('what a node may have written before an older copy of it was put back is not deleted', async () => {
  const [a, b] = await afterLongAbsence()
  const healing = heal(a, b, { wroteHere: () => false })
  await oneRun(healing)
  expect(await typeOf(b, 'of a')).toBe('put')
  expect(healing.healer.status()).toMatchObject({ mended: 0, undecided: 2 })
})

test('a store knows when it ran: a write in a gap between was made by the store that a copy replaced', async () => {
  const [{ db }] = await twoStores()
  const stampOf = (ms: number) => msToStamp(noonMs + ms)
  const first = await noteStart(db, clock.nowMs, 1000)
  expect([first(1), first(stampOf(0)), first(stampOf(9e9))]).toEqual([true, true, true])
  clock.nowMs += 50_000
  await saveProgress(db, 'http://target', { cursor: '1', isFilled: true, node: 'n' } as never)
  // Ten seconds later it is back, or a copy of it is.
  clock.nowMs += 10_000
  const second = await noteStart(db, clock.nowMs, 1000)
  expect([20_000, 50_000, 50_001, 60_500, 61_000, 61_001].map((ms) => second(stampOf(ms)))).toEqual([
    true,
    true,
    false,
    false,
    false,
    true,
  ])
  clock.nowMs += 100_000
  const third = await noteStart(db, clock.nowMs, 1000)
  expect([50_001, 61_001, 100_000, 161_001].map((ms) => third(stampOf(ms)))).toEqual([
    false,
    false,
    false,
    true,
  ])
  for (let i = 0; i < 600; i++) {
    clock.nowMs += 10_000
    await noteStart(db, clock.nowMs, 1000)
  }
  const last = await noteStart(db, clock.nowMs, 1000)
  // The list has an end; what is dropped counts as a gap, never as a time in which it ran.
  expect([0, 55_000, 200_000, 161_500].map((ms) => last(stampOf(ms)))).toEqual([true, false, false, false])
  expect((await db.get('_history', 'gaps'))!.value.length).toBeLessThan(30_000)
})

test('a run waits for a mirror that is not current, but not for ever, and runs at its times', async () => {
  const [a, b] = await twoStores()
  let isCurrent = false
  const healing = heal(a, b, { isCurrent: () => isCurrent, everyMs: 20_000 })
  await oneRun(healing)
  expect(healing.pauses.slice(0, 3)).toEqual([20_000, 1000, 1000])
  expect(healing.pauses.filter((ms) => ms === 1000)).toHaveLength(20)
  isCurrent = true
  await oneRun(healing)
  expect(healing.pauses.filter((ms) => ms === 1000)).toHaveLength(20)
})

test('a target that cannot be reached, or refuses, is reported once, and the next run goes on', async () => {
  const [a, b] = await twoStores()
  await a.db.put('c', 'k', json(1))
  clock.nowMs += 5000
  const state = { isDown: true }
  const target: ComparedNode = {
    ...b.node,
    async overview() {
      if (state.isDown) throw new Error('it is down')
      return b.node.overview()
    },
  }
  const healing = heal(a, b, { target })
  await oneRun(healing)
  await oneRun(healing)
  expect(healing.healer.status()).toMatchObject({ failures: 2, runs: 0, lastError: { detail: 'it is down' } })
  expect(healing.lines).toHaveLength(1)
  state.isDown = false
  await oneRun(healing)
  expect(healing.healer.status()).toMatchObject({ failures: 2, runs: 1, mended: 1 })
  await a.db.put('c', 'l', json(1))
  const refusing = heal(a, b, {
    target: { ...b.node, apply: async () => ({ applied: 0, refused: 1, detail: 'no room' }) },
  })
  await oneRun(refusing)
  expect(refusing.healer.status().lastError?.detail).toContain('1 changes are refused')
})

test('what the token does not reach is named, and the rest is mended', async () => {
  const [a, b] = await twoStores()
  await a.db.put('c', 'k', json(1))
  await a.db.put('other', 'k', json(1))
  clock.nowMs += 5000
  const target: ComparedNode = {
    ...b.node,
    overview: async () => ({
      ...(await b.node.overview()),
      collections: [{ name: 'other', members: null }],
    }),
  }
  const healing = heal(a, b, { target })
  await oneRun(healing)
  expect(healing.healer.status()).toMatchObject({ mended: 1, failures: 1 })
  expect(healing.healer.status().lastError?.detail).toContain('not compared: other')
})
