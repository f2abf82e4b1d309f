import { expect, test } from 'bun:test'
import {
  type ArchivedStore,
  archivedStore,
  openArchived,
  takeBase,
  timelineOf,
  waitRandomly,
  withRestored,
  writeAt,
} from '../../../../test/support/archived-store.ts'
import { collection, noonMs, put, remove, valuesOf } from '../../../../test/support/engine-writes.ts'
import { type Random, random, seedOfRun } from '../../../../test/support/random.ts'
import type { Point } from '../../../core/archive.ts'
import type { Write } from '../../../core/engine.ts'
import type { SqliteEngine } from '../engine.ts'
import { routeTo, type Timeline } from './timeline.ts'
import { latestVersion } from './versions.ts'

/** A thousand random points in time of a store with several starts and bases, compared with a model. */

const keys = Array.from({ length: 24 }, (_, i) => `key-${i}`)

/** The state after each commit. */
interface Moment {
  readonly revision: number
  readonly timeMs: number
  readonly values: Readonly<Record<string, string>>
}

async function commitRandomly(
  store: ArchivedStore,
  engine: SqliteEngine,
  random: Random,
  moments: Moment[],
): Promise<void> {
  const values = { ...moments.at(-1)?.values }
  const writes: Write[] = Array.from({ length: 1 + random.int(3) }, () => {
    const key = random.pick(keys)
    if (random.oneIn(5)) {
      delete values[key]
      return remove(key)
    }
    // Some values are large: they lie in pieces.
    const value = JSON.stringify(`${random.int(1e9)}`.repeat(random.oneIn(20) ? 400 : 1))
    values[key] = value
    return put(key, value)
  })
  waitRandomly(store, random)
  const written = await writeAt(store, engine, writes)
  const revision = Math.max(...written.map((one) => one.revision))
  // Deletes of what is missing are not done.
  if (revision > 0) moments.push({ revision, timeMs: store.nowMs, values })
}

async function live(store: ArchivedStore, random: Random): Promise<Moment[]> {
  const moments: Moment[] = []
  for (let start = 0; start < 4; start++) {
    const engine = await openArchived(store)
    if (start === 0 || start === 2) {
      const base = await takeBase(store, engine)
      if (start === 0) moments.push({ revision: base.revision, timeMs: store.nowMs, values: {} })
    }
    for (let i = 0; i < 120; i++) {
      await commitRandomly(store, engine, random, moments)
      if (random.oneIn(40)) await engine.archive!.sync()
    }
    await engine.close()
  }
  return moments
}

function expectLookedUp(timeline: Timeline, point: Point, moment: Moment, base: Moment, key: string): void {
  const route = routeTo(timeline, point)
  expect(route.revision).toBe(moment.revision)
  const found = latestVersion(route, { collection, key })
  const value = found === null ? base.values[key] : (found.member?.value as string | undefined)
  expect(value).toBe(moment.values[key])
}

test('the state at a thousand random points in time is that of a model', async () => {
  const chance = random(seedOfRun())
  const store = archivedStore(noonMs)
  const moments = await live(store, chance)
  const timeline = timelineOf(store)
  const latestAt = (timeMs: number) => moments.findLast((one) => one.timeMs <= timeMs)!
  const at = (revision: number) => moments.findLast((one) => one.revision <= revision)!
  for (let i = 0; i < 1000; i++) {
    const chosen = chance.pick(moments)
    const isTime = chance.oneIn(2)
    // A time between two commits, too.
    const timeMs = Math.min(chosen.timeMs + chance.int(500), moments.at(-1)!.timeMs)
    const point = isTime ? { timeMs } : { revision: chosen.revision }
    const moment = isTime ? latestAt(timeMs) : chosen
    const base = at(timeline.bases.findLast(({ revision }) => revision <= moment.revision)!.revision)
    expectLookedUp(timeline, point, moment, base, chance.pick(keys))
    if (i % 80 !== 0) continue
    await withRestored(timeline, routeTo(timeline, point), async (engine) => {
      expect(await valuesOf(engine)).toEqual(moment.values)
      expect(Number(engine.head())).toBe(moment.revision)
    })
  }
})
