import { expect, test } from 'bun:test'
import type { Content } from '../src/core/content.ts'
import type { WatchBounds } from '../src/core/feed/watcher.ts'
import { everything } from '../src/core/list.ts'
import { revisionOf } from '../src/core/member.ts'
import { nextTick } from '../src/core/next-tick.ts'
import { noSettings } from '../src/core/settings.ts'
import { newFolder } from './support/engine.ts'
import { type Random, random, seedOfRun } from './support/random.ts'
import {
  collections,
  type Follower,
  follower,
  isIn,
  keys,
  lastOf,
  openWorld,
  randomScope,
  stateWithin,
  type World,
  wholeStore,
} from './support/watch-model.ts'

/**
 * Random writers, and followers who read at random paces, lose their connections and come back: each ends up with
 * exactly what is in the store. `KVIST_SEED` does a run again, as far as the disk lets it; `KVIST_WATCH_STEPS` makes
 * it longer.
 */
const steps = Number(process.env.KVIST_WATCH_STEPS ?? 2500)

const narrow: WatchBounds = { events: 4, bytes: 4000, totalBytes: 12_000 }
const maxFollowers = 30

interface Run {
  readonly r: Random
  readonly world: World
  readonly followers: Follower[]
  /** They read at once, and so see every single change; with the cursor where they began. */
  readonly keepers: { readonly follower: Follower; readonly from: number }[]
  writes: Promise<unknown>[]
}

type Step = (run: Run) => void | Promise<void>

/** Each with how often it is chosen, relative to the others. */
const choices: readonly (readonly [number, Step])[] = [
  [60, write],
  [80, read],
  [30, (_run) => nextTick()],
  [10, loseConnection],
  [12, comeBack],
  [6, beginToFollow],
  [2, endToFollow],
  [8, moveClock],
  [6, ({ world }) => world.sweep()],
  [1, drop],
  [6, renew],
  [2, compact],
  [2, reopen],
]

for (const [name, bounds, isLate] of [
  ['an engine whose results come at once', undefined, false],
  ['an engine whose results come late', undefined, true],
  ['an engine whose results come at once, and short queues', narrow, false],
  ['an engine whose results come late, and short queues', narrow, true],
] as const) {
  test(`whoever watches ends up with the store as it is: ${name}`, async () => {
    const r = random(seedOfRun())
    const world = await openWorld({ r, dir: newFolder(), bounds, isLate })
    const run: Run = { r, world, followers: [], keepers: [], writes: [] }
    const deck = choices.flatMap(([weight, step]) => Array<Step>(weight).fill(step))
    try {
      startKeepers(run)
      for (let i = 0; i < steps; i++) await r.pick(deck)(run)
      await finish(run)
      const { fallbacks } = world.db().stats().watch
      if (bounds === undefined) expect(fallbacks).toBe(0)
    } finally {
      await Promise.allSettled(run.writes)
      await world.close()
    }
  }, 3_600_000)
}

function write({ r, world, writes }: Run): void {
  const db = world.db()
  const collection = r.pick(collections)
  const key = r.pick(keys)
  const kind = r.int(20)
  if (kind < 10) writes.push(db.put(collection, key, randomContent(r, world.now())))
  else if (kind < 14) writes.push(db.delete(collection, key))
  else if (kind === 14) writes.push(db.setSettings(collection, noSettings))
  else {
    const operations = Array.from({ length: 1 + r.int(kind === 15 ? 40 : 6) }, () => {
      const ref = { collection: r.pick(collections), key: r.pick(keys) }
      if (r.oneIn(3)) return { op: 'delete', ...ref } as const
      return { op: 'put', ...ref, ...randomContent(r, world.now()) } as const
    })
    writes.push(db.execute({ operations }))
  }
}

function randomContent(r: Random, nowMs: number): Content {
  const value = JSON.stringify('x'.repeat(r.oneIn(10) ? r.int(3000) : r.int(20)))
  const expiresAtMs = r.oneIn(3) ? nowMs + r.int(3000) - 200 : null
  return { value, contentType: 'application/json', flags: 0, expiresAtMs }
}

function read({ r, followers }: Run): void {
  if (followers.length === 0) return
  // The first ones are slow.
  const one = followers[Math.max(r.int(followers.length), r.int(followers.length))]!
  void one.step(r.oneIn(15) ? r.int(4) : undefined)
}

function loseConnection({ r, followers }: Run): void {
  if (followers.length > 0) r.pick(followers).leave()
}

function comeBack({ followers }: Run): void {
  followers.find((one) => one.isAway())?.comeBack()
}

function beginToFollow({ r, world, followers }: Run): void {
  if (followers.length === maxFollowers) return
  followers.push(follower({ world, r, scope: randomScope(r), since: r.pick([null, '', '0']) }))
}

function endToFollow({ r, followers }: Run): void {
  if (followers.length > 0) followers.splice(r.int(followers.length), 1)[0]!.leave()
}

function moveClock({ r, world }: Run): void {
  world.setNow(world.now() + (r.oneIn(3) ? -r.int(3000) : r.int(1500)))
}

function drop({ r, world, writes }: Run): void {
  writes.push(world.db().drop(r.pick(collections), everything))
}

function renew({ r, world, writes }: Run): void {
  writes.push(world.renew(r.pick(collections), r.pick(keys), world.now() + r.int(3000)))
}

function compact({ r, world }: Run): Promise<void> {
  return world.compact(1 + r.int(60))
}

async function reopen(run: Run): Promise<void> {
  await allWritten(run)
  await finishKeepers(run)
  for (const one of run.followers) one.leave()
  await run.world.reopen()
  for (const one of run.followers) one.comeBack()
  startKeepers(run)
}

async function allWritten(run: Run): Promise<void> {
  await Promise.all(run.writes)
  run.writes = []
}

function startKeepers({ r, world, keepers }: Run): void {
  for (let i = 0; i < 6; i++) {
    const one = follower({ world, r, scope: randomScope(r), since: null, isEager: true })
    keepers.push({ follower: one, from: lastOf(world.notified) })
  }
}

/** Those whose queues never ran over saw everything, except members that expired before. */
async function finishKeepers({ world, keepers }: Run): Promise<void> {
  const keptUp = world.db().stats().watch.fallbacks === 0
  const to = lastOf(world.notified)
  await wakened()
  for (const { follower: one, from } of keepers.splice(0)) {
    await one.finish()
    one.leave()
    if (!keptUp) continue
    const seen = new Set(one.seen)
    const missed = world.notified.filter((change) => {
      const revision = revisionOf(change)
      if (revision <= from || revision > to || seen.has(revision) || !isIn(one.scope, change)) return false
      return change.type !== 'put' || change.member.expiresAtMs === null
    })
    expect(missed).toEqual([])
  }
}

async function finish(run: Run): Promise<void> {
  const { world, followers, keepers } = run
  await allWritten(run)
  // Some read while the clock is ahead, and what was over then would live again.
  world.setNow(world.now() + 2500)
  for (const one of followers) if (run.r.oneIn(2)) await one.step()
  world.setNow(world.now() - 2500)
  // What one reader meets that has expired is taken out, and the others are to see that.
  for (let i = 0; i < 3; i++) {
    await world.sweep()
    for (const one of followers) await one.finish()
    await wakened()
    for (const { follower: one } of keepers) await one.finish()
  }
  for (const { follower: one } of keepers) expect(one.state).toEqual(stateWithin(one.scope, world.notified))
  await finishKeepers(run)
  const refs = collections.flatMap((collection) => keys.map((key) => ({ collection, key })))
  const members = await world.db().readMany(refs)
  const stored = refs.flatMap(({ collection, key }, i) => {
    const member = members[i]
    return member ? [[`${collection}/${key}`, `${member.revision} ${member.value}`] as const] : []
  })
  expect(stateWithin(wholeStore, world.notified)).toEqual(new Map(stored))
  for (const one of followers) expect(one.state).toEqual(stateWithin(one.scope, world.notified))
  const resets = followers.reduce((sum, one) => sum + one.resets(), 0)
  console.log(
    `${world.notified.length} changes, ${followers.length} followers, ${resets} resets`,
    world.db().stats().watch,
  )
}

/** Everybody who is due has been woken. */
async function wakened(): Promise<void> {
  for (let i = 0; i < 5; i++) await nextTick()
}
