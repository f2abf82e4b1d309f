import { expect } from 'bun:test'
import type { Engine, FeedCursor, OnCommit, OnSetback } from '../../src/core/engine.ts'
import { KvistError } from '../../src/core/errors.ts'
import { keyOf, revisionOf } from '../../src/core/member.ts'
import { checkLinearizable, type Operation } from './linearizable.ts'
import type { Random } from './random.ts'

/**
 * Load on several front ends of one Redis store, and what must hold whatever happened to the servers meanwhile: each
 * member has had one history that explains all results, and whoever listened knows what is stored.
 */

/** An engine and what it reported. */
export interface FrontEnd {
  readonly engine: Engine
  /** The latest revision that was reported of each member; null once it was removed. */
  readonly known: Map<string, number | null>
  /** The latest revision that was reported of each member, removals included. */
  readonly reported: Map<string, number>
  setbacks(): number
}

type OpenFrontEnd = (report: {
  readonly onCommit: OnCommit
  readonly onSetback: OnSetback
}) => Promise<Engine>

export async function openFrontEnd(open: OpenFrontEnd): Promise<FrontEnd> {
  const known = new Map<string, number | null>()
  const reported = new Map<string, number>()
  const counts = { setbacks: 0 }
  const engine = await open({
    onCommit(changes) {
      for (const change of changes) {
        if (change.type === 'renew') continue
        known.set(keyOf(change), change.type === 'put' ? revisionOf(change) : null)
        reported.set(keyOf(change), revisionOf(change))
      }
    },
    onSetback() {
      counts.setbacks++
      known.clear()
    },
  })
  return { engine, known, reported, setbacks: () => counts.setbacks }
}

export const collection = 'things'

/** The value of a member, and its revision where an operation showed it; null for no member. */
interface State {
  readonly value: string | null
}

export interface Load {
  readonly counts: { done: number; unknown: number; unavailable: number }
  /** Ends the load, and throws unless its results fit one order for each member. `mayLose`: that a failover has lost some is no fault. */
  stopAndCheck(options?: { readonly mayLose?: boolean }): Promise<void>
}

/** Reads and writes members through all front ends, a few operations on each member at a time. */
export function startLoad(frontEnds: readonly FrontEnd[], keys: readonly string[], random: Random): Load {
  const counts = { done: 0, unknown: 0, unavailable: 0 }
  const histories = new Map(keys.map((key) => [key, [] as Operation<State>[]]))
  const revisions = new Map<string, string>()
  let isStopped = false
  let written = 0

  async function work(key: string, frontEnd: FrontEnd): Promise<void> {
    const history = histories.get(key)!
    while (!isStopped) {
      const plan = planOf(frontEnd, key, `${++written}`, random)
      const calledAt = performance.now()
      const label = `${plan.label} at ${calledAt.toFixed(1)}`
      try {
        const step = await plan.run()
        history.push({ calledAt, returnedAt: performance.now(), step, label })
        counts.done++
      } catch (error) {
        if (!(error instanceof KvistError)) throw error
        if (error.code === 'outcome_unknown') {
          counts.unknown++
          history.push({ calledAt, returnedAt: Number.POSITIVE_INFINITY, step: plan.maybe, label })
        } else if (error.code === 'unavailable' || error.code === 'busy') {
          counts.unavailable++
        } else {
          throw error
        }
      }
    }
  }

  /** A revision stands for one value of a member for ever. */
  function once(key: string, revision: number, value: string): void {
    const name = `${key} ${revision}`
    const known = revisions.get(name)
    if (known !== undefined && known !== value) {
      throw new Error(`revision ${revision} of ${key} was given to ${known} and to ${value}`)
    }
    revisions.set(name, value)
  }

  /** Nothing is read before it was reported. */
  function expectReported({ reported, setbacks }: FrontEnd, key: string, revision: number): void {
    if (setbacks() === 0 && (reported.get(key) ?? 0) < revision) {
      throw new Error(`revision ${revision} of ${key} was read before it was reported`)
    }
  }

  function planOf(frontEnd: FrontEnd, key: string, number: string, random: Random) {
    const { engine } = frontEnd
    const value = JSON.stringify(number)
    const kind = random.int(4)
    const put = { op: 'put', collection, key, value, contentType: 'application/json' } as const
    const write = { ...put, flags: 0, expiresAtMs: null }
    const isAfter = () => ({ value })
    if (kind === 0) {
      return {
        label: `read ${key}`,
        maybe: (state: State) => state,
        async run() {
          const found = await engine.read(collection, key)
          if (found !== null) {
            once(key, found.revision, String(found.value))
            expectReported(frontEnd, key, found.revision)
          }
          return (state: State) => (state.value === (found?.value ?? null) ? state : null)
        },
      }
    }
    if (kind === 1) {
      return {
        label: `remove ${key}`,
        maybe: () => ({ value: null }),
        async run() {
          const writes = [{ op: 'delete', collection, key, cause: 'delete' } as const]
          const result = await engine.commit({ checks: [], writes, nowMs: Date.now() })
          const existed = result.ok && result.written[0]!.existed
          return (state: State) => (existed === (state.value !== null) ? { value: null } : null)
        },
      }
    }
    if (kind === 2) {
      return {
        label: `put ${key} ${value}`,
        maybe: isAfter,
        async run() {
          const result = await engine.commit({ checks: [], writes: [write], nowMs: Date.now() })
          if (result.ok) once(key, result.written[0]!.revision, value)
          return isAfter
        },
      }
    }
    return {
      label: `create ${key} ${value}`,
      maybe: (state: State) => (state.value === null ? { value } : state),
      async run() {
        const checks = [{ collection, key, revision: null }]
        const result = await engine.commit({ checks, writes: [write], nowMs: Date.now() })
        if (result.ok) once(key, result.written[0]!.revision, value)
        return (state: State) => {
          if (result.ok) return state.value === null ? { value } : null
          return state.value === null ? null : state
        }
      },
    }
  }

  const workers = Promise.allSettled(keys.flatMap((key) => frontEnds.map((frontEnd) => work(key, frontEnd))))
  return {
    counts,
    async stopAndCheck({ mayLose = false } = {}) {
      isStopped = true
      for (const worker of await workers) if (worker.status === 'rejected') throw worker.reason
      const [first] = frontEnds
      for (const key of keys) {
        const found = await first!.engine.read(collection, key)
        const calledAt = performance.now()
        const last: Operation<State> = {
          calledAt,
          returnedAt: calledAt + 1,
          step: (state) => (state.value === (found?.value ?? null) ? state : null),
          label: `found ${String(found?.value)}`,
        }
        const history = [...histories.get(key)!, last]
        const verdict = checkLinearizable(history, { value: null }, ({ value }) => String(value))
        if (verdict.ok) continue
        const lost = frontEnds.every(({ setbacks }) => setbacks() > 0)
        if (mayLose && lost) continue
        throw new Error(`${key}: no order of its operations explains ${verdict.stuckAt.join(' | ')}`)
      }
      await expectAllKnow(frontEnds)
    },
  }
}

/** Reads the feed by small pages, as a client does that begins anew when its cursor is refused. */
export function startPages({ engine }: FrontEnd) {
  const state = new Map<string, number>()
  let cursor: FeedCursor = ''
  let resets = 0
  let isStopped = false

  async function page(): Promise<boolean> {
    try {
      const { changes, next, atEnd } = await engine.changes(cursor, 2, { collection })
      for (const change of changes) {
        if (change.type === 'put') state.set(keyOf(change), revisionOf(change))
        else state.delete(keyOf(change))
      }
      cursor = next
      return atEnd
    } catch (error) {
      if (!(error instanceof KvistError)) throw error
      if (error.code === 'compacted') {
        state.clear()
        cursor = ''
        resets++
      } else if (error.code !== 'unavailable') {
        throw error
      }
      return false
    }
  }

  const reading = (async () => {
    while (!isStopped) if (await page()) await Bun.sleep(1)
  })()
  return {
    resets: () => resets,
    /** Reads to the end, and throws unless what it has read comes to what is stored. */
    async stopAndCheck(): Promise<void> {
      isStopped = true
      await reading
      while (!(await page()));
      const all = { collection, from: null, to: null, order: 'asc', limit: 10_000, keysOnly: true } as const
      const { members } = await engine.scan(all)
      const stored = members.map(({ key, revision }): [string, number] => [key, revision])
      expect([...state].toSorted()).toEqual(stored.toSorted())
    },
  }
}

/** Whoever listened knows the latest revision of every member; after a setback, of those that changed since. */
async function expectAllKnow(frontEnds: readonly FrontEnd[]): Promise<void> {
  const page = { collection, from: null, to: null, order: 'asc', limit: 10_000, keysOnly: true } as const
  const { members } = await frontEnds[0]!.engine.scan(page)
  const stored = new Map(members.map(({ key, revision }) => [key, revision]))
  // Messages may be on their way to the others still.
  for (const { engine } of frontEnds) {
    for (const key of stored.keys()) await engine.read(collection, key)
  }
  await Bun.sleep(100)
  for (const { known, setbacks } of frontEnds) {
    if (setbacks() === 0) {
      const live = new Map([...known].filter(([, revision]) => revision !== null))
      expect(Object.fromEntries(live)).toEqual(Object.fromEntries(stored))
    } else {
      for (const [key, revision] of known) {
        if (revision !== null) expect([key, stored.get(key)]).toEqual([key, revision])
      }
    }
  }
}
