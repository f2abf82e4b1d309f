import { expect, test } from 'bun:test'
import type { Commit, Engine, MemberRef, OnCommit, Renew, ScanRange, Write } from '../src/core/engine.ts'
import { KvistError } from '../src/core/errors.ts'
import {
  type Change,
  jsonContentType,
  keyOf,
  type Member,
  revisionOf,
  type Value,
} from '../src/core/member.ts'
import { openMemory } from '../src/engines/memory/engine.ts'
import { faultsOfTables, newFolder, openAt } from './support/engine.ts'
import { isLongRun } from './support/long-run.ts'
import { type Model, newModel } from './support/model.ts'
import { needing } from './support/needs.ts'
import { type Random, random, seedOfRun } from './support/random.ts'
import { type RedisServer, startRedis } from './support/redis-cluster.ts'
import { openTestRedis } from './support/redis-engine.ts'

/**
 * Random operations on an engine, each held against a model of a few maps. Small segments make SQLite's rotate, flush and
 * recycle its files all the time. `KVIST_SEED` does a run again, `KVIST_MODEL_STEPS` makes it a longer one.
 */
const steps = Number(process.env.KVIST_MODEL_STEPS ?? (isLongRun ? 10_000 : 1000))

/** Few enough that members are written over, deleted and put again; of all the kinds that sort differently. */
const keys = [
  ...Array.from({ length: 25 }, (_, i) => `k${i}`),
  ...['k', 'k/', 'k\0', 'k1\0x', 'é', 'ée', '日', '\ufffd', '\u{1f600}', '\u{10ffff}', 'K'.repeat(512)],
]
const collections = ['a', 'ab', 'ü']

/** A reader of the feed that goes on now and then, and what it knows by now. */
interface Follower {
  point: string
  readonly known: Map<string, Known>
  times: { reset: number; caughtUp: number }
}

type Known = {
  readonly collection: string
  readonly key: string
  readonly revision: number
  readonly value: Value
}

/** How an engine is opened, and opened again. */
interface Kind {
  open(r: Random, onCommit: OnCommit): Promise<Engine>
  reopen(engine: Engine, r: Random, onCommit: OnCommit): Promise<Engine>
}

function removedClockIn(notified: readonly Change[]): (revision: number) => number {
  return (revision) => {
    const change = notified.find((one) => revisionOf(one) === revision)
    return change === undefined || change.type === 'put' ? 0 : change.tombstone.removedClock
  }
}

function sqlite(): Kind {
  const dir = newFolder()
  const open: Kind['open'] = (r, onCommit) =>
    openAt(dir, { segmentBytes: r.pick([2048, 8192, 65_536]), onCommit })
  return {
    open,
    async reopen(engine, r, onCommit) {
      await engine.close()
      expectSame(faultsOfTables(dir), [])
      return open(r, onCommit)
    },
  }
}

function memory(): Kind {
  return { open: async (_r, onCommit) => openMemory({ onCommit }), reopen: async (engine) => engine }
}

/** On one line, so that its revisions order all changes, as the model has them. */
function redis(server: RedisServer): Kind {
  const open: Kind['open'] = (_r, onCommit) =>
    openTestRedis([server], { prefix: 'model', lines: 1, onCommit })
  return {
    open,
    async reopen(engine, r, onCommit) {
      await engine.close()
      return open(r, onCommit)
    },
  }
}

interface Run {
  readonly r: Random
  readonly model: Model
  readonly kind: Kind
  readonly notified: Change[]
  readonly follower: Follower
  engine: Engine
  nowMs: number
}

type Step = (run: Run) => Promise<void>

/** Each with how often it is chosen, relative to the others. */
const choices: readonly (readonly [number, Step])[] = [
  [30, commitOne],
  [10, commitMany],
  [12, scan],
  [12, readSome],
  [6, readFeed],
  [8, follow],
  [1, forget],
  [4, findExpiring],
  [4, count],
  [6, letTimePass],
  [1, reopen],
]

/** For a run with many steps. */
const timeoutMs = 3_600_000
const title = (name: string) => `${steps} random operations on the engine ${name} do what they do to a model`

test(title('SQLite'), () => compare(sqlite()), timeoutMs)
test(title('memory'), () => compare(memory()), timeoutMs)

const redisTests = needing('redis')
let server: Awaited<ReturnType<typeof startRedis>> | null = null
redisTests.beforeAll(async () => {
  server = await startRedis({ config: { appendfsync: 'no' } })
})
redisTests.afterAll(() => server?.stop())
redisTests.test(title('Redis'), () => compare(redis(server!)), timeoutMs)

async function compare(kind: Kind): Promise<void> {
  const r = random(seedOfRun())
  const notified: Change[] = []
  const follower: Follower = { point: '', known: new Map(), times: { reset: 0, caughtUp: 0 } }
  const engine = await kind.open(r, onNotice(notified))
  const run: Run = {
    r,
    model: newModel(engine.nodeId, removedClockIn(notified)),
    kind,
    notified,
    follower,
    engine,
    nowMs: 1e12,
  }
  const deck = choices.flatMap(([weight, step]) => Array<Step>(weight).fill(step))
  try {
    for (let i = 0; i < steps; i++) {
      const step = r.pick(deck)
      await step(run).catch((error: unknown) => {
        throw new Error(`step ${i}, ${step.name}: ${error instanceof Error ? error.message : error}`)
      })
    }
    await reopen(run)
  } finally {
    await run.engine.close()
  }
  const { reset, caughtUp } = follower.times
  console.log(`a reader of the feed caught up ${caughtUp} times, and had to begin again ${reset} times`)
  expect(caughtUp).toBeGreaterThan(0)
  expect(notified.map(revisionOf)).toEqual(notified.map(revisionOf).toSorted((a, b) => a - b))
  expect(notified.at(-1) && revisionOf(notified.at(-1)!)).toBe(run.model.lastRevision())
}

function onNotice(notified: Change[]): OnCommit {
  return (changes) => notified.push(...changes.filter((one) => one.type !== 'renew'))
}

function randomRef(r: Random): MemberRef {
  return { collection: r.pick(collections), key: r.pick(keys) }
}

function randomValue(r: Random): Value {
  const length = r.oneIn(30) ? r.int(6000) : r.int(120)
  if (r.oneIn(4)) return Uint8Array.from({ length }, () => r.int(256))
  return JSON.stringify(r.pick(['x', 'é', '日', '\u{1f600}']).repeat(length))
}

/** Also of other nodes, from a little while ago or ahead; and now and then the expiry of what is there. */
function randomWrite(run: Run): Write | Renew {
  const { r, model, engine, nowMs } = run
  const write = ownWrite(run)
  if (write.op === 'renew' || !r.oneIn(4)) return write
  const stored = model.read(write)
  if (write.op === 'delete' && stored !== null && r.oneIn(3)) {
    return { ...write, origin: { clock: stored.clock, node: stored.node || engine.nodeId } }
  }
  const clock = Math.max(1, model.lastClock() + r.int(2000) - 1500)
  const origin = { clock, node: r.pick(['0', 'n1', 'zz', engine.nodeId]) }
  return write.op === 'put'
    ? { ...write, origin: { ...origin, createdAtMs: nowMs - r.int(5000) } }
    : { ...write, origin }
}

function ownWrite({ r, model, nowMs }: Run): Write | Renew {
  const ref = randomRef(r)
  if (r.oneIn(4)) {
    // One that nobody can know yet, of a write ahead of it in the same commit, is not asked for.
    const guess = (model.read(ref)?.revision ?? 1) + (r.oneIn(4) ? r.int(3) - 1 : 0)
    const ifRevision = Math.min(guess, model.lastRevision())
    return { op: 'renew', ...ref, ifRevision, expiresAtMs: r.oneIn(4) ? null : nowMs + r.int(2000) - 100 }
  }
  if (r.oneIn(3)) {
    const cause = r.oneIn(3) ? 'expire' : 'delete'
    if (!r.oneIn(3)) return { op: 'delete', ...ref, cause }
    const ifExpiresAtMs = model.read(ref)?.expiresAtMs ?? null
    return {
      op: 'delete',
      ...ref,
      cause,
      ifRevision: (model.read(ref)?.revision ?? 1) - (r.oneIn(4) ? 1 : 0),
      ...(ifExpiresAtMs !== null && r.oneIn(2) ? { ifExpiresAtMs: ifExpiresAtMs + r.int(2) } : {}),
    }
  }
  const value = randomValue(r)
  return {
    op: 'put',
    ...ref,
    value,
    contentType:
      typeof value === 'string' ? jsonContentType : r.pick(['image/png', 'text/plain; charset=utf-8']),
    flags: r.oneIn(5) ? r.int(2 ** 32) : 0,
    expiresAtMs: r.oneIn(3) ? nowMs + r.int(2000) - 200 : null,
  }
}

function randomCommit(run: Run): Commit {
  const { r, model, nowMs } = run
  const checks = Array.from({ length: r.oneIn(2) ? r.int(3) : 0 }, () => {
    const ref = randomRef(r)
    const revision = model.read(ref)?.revision ?? null
    return { ...ref, revision: r.oneIn(5) ? r.pick([null, model.lastRevision(), 1]) : revision }
  })
  const length = r.oneIn(4) ? r.int(20) : 1 + r.int(2)
  if (r.oneIn(3)) return { ...limitedCommit(run, length), ...(r.oneIn(2) ? { checks } : { apart: true }) }
  const writes = Array.from({ length }, () => randomWrite(run))
  return {
    checks,
    writes,
    nowMs: nowMs - (r.oneIn(20) ? r.int(500) : 0),
    durability: r.pick(['full', 'relaxed']),
  }
}

/** With quotas close to what there is, above and below. */
function limitedCommit(run: Run, length: number): Commit {
  const { r, model, nowMs } = run
  const sizes = new Map(model.collections().map((one) => [one.name, one]))
  const quotas = collections.flatMap((collection) => {
    if (r.oneIn(4)) return []
    const { members, bytes } = sizes.get(collection) ?? { members: 0, bytes: 0 }
    const near = (size: number, spread: number) =>
      r.oneIn(2) ? null : Math.max(1, size + r.int(2 * spread) - spread)
    const maxValueBytes = r.oneIn(2) ? null : 1 + r.int(200)
    return [{ collection, maxMembers: near(members, 3), maxBytes: near(bytes, 400), maxValueBytes }]
  })
  return { checks: [], writes: Array.from({ length }, () => ownWrite(run)), nowMs, quotas }
}

async function commitOne(run: Run): Promise<void> {
  const commit = randomCommit(run)
  run.model.follow(commit, await run.engine.commit(commit))
}

/** At once: they take effect in the order that they were asked for. */
async function commitMany(run: Run): Promise<void> {
  const commits = Array.from({ length: 1 + run.r.int(12) }, () => randomCommit(run))
  const results = await Promise.all(commits.map((commit) => run.engine.commit(commit)))
  for (const [i, commit] of commits.entries()) run.model.follow(commit, results[i]!)
}

async function scan({ r, model, engine }: Run): Promise<void> {
  const range: ScanRange = {
    collection: r.pick(collections),
    from: r.oneIn(2) ? r.pick(keys) : null,
    to: r.oneIn(2) ? r.pick(keys) : null,
    order: r.pick(['asc', 'desc']),
    limit: 1 + r.int(30),
    keysOnly: r.oneIn(4),
  }
  const found: Member[] = []
  for (let at: ScanRange | null = range; at !== null; ) {
    const { members, next }: { members: Member[]; next: string | null } = await engine.scan(at)
    found.push(...members)
    at = next === null ? null : { ...at, ...(at.order === 'asc' ? { from: next } : { to: next }) }
  }
  expectSame(found, model.scan(range))
}

async function readSome({ r, model, engine }: Run): Promise<void> {
  const refs = Array.from({ length: 8 }, () => randomRef(r))
  expectSame(await engine.readMany(refs), refs.map(model.read))
  for (const ref of refs) {
    expectSame(await engine.read(ref.collection, ref.key), model.read(ref))
    expectSame(await engine.tombstone(ref.collection, ref.key), model.tombstone(ref))
  }
}

async function readFeed({ r, model, engine }: Run): Promise<void> {
  const after = r.oneIn(3) ? 0 : r.int(model.lastRevision() + 1)
  const collection = r.oneIn(2) ? r.pick(collections) : undefined
  const key = collection !== undefined && r.oneIn(3) ? r.pick(keys) : undefined
  const scope =
    collection === undefined ? undefined : key === undefined ? { collection } : { collection, key }
  const limit = 1 + r.int(60)
  const found: Change[] = []
  try {
    for (let point = after === 0 ? '' : String(after); ; ) {
      const page = await engine.changes(point, limit, scope)
      found.push(...page.changes)
      if (page.changes.length > 0 && r.oneIn(4)) {
        const i = r.int(page.changes.length)
        const rest = await engine.changes(page.cursorAfter(i), limit, scope)
        expectSame(rest.changes.slice(0, page.changes.length - i - 1), page.changes.slice(i + 1))
      }
      point = page.next
      if (page.atEnd) break
    }
  } catch (error) {
    expectSame(
      [error instanceof KvistError && error.code, after > 0 && after < model.forgotten()],
      ['compacted', true],
    )
    return
  }
  if (after > 0 && after < model.forgotten())
    throw new Error(`${after} is served, and something after it forgotten`)
  const expected = model.changesAfter(after, collection)
  expectSame(found, key === undefined ? expected : expected.filter((change) => keyOf(change) === key))
}

/** Reads a little; whenever it comes to the end, it knows what there is. Renewals are not reported to it. */
async function follow({ r, model, engine, follower }: Run): Promise<void> {
  for (let pages = r.int(4); pages >= 0; pages--) {
    const page = await engine.changes(follower.point, 1 + r.int(30))
    for (const change of page.changes) {
      const { collection } = change
      const id = JSON.stringify([collection, keyOf(change)])
      if (change.type !== 'put') follower.known.delete(id)
      else {
        const { key, revision, value } = change.member
        follower.known.set(id, { collection, key, revision, value })
      }
    }
    follower.point = page.next
    if (!page.atEnd) continue
    const all = model.changesAfter(0).flatMap((change) => {
      if (change.type !== 'put') return []
      const { key, revision, value } = change.member
      return [{ collection: change.collection, key, revision, value }]
    })
    expectSame(
      [...follower.known.values()].sort((a, b) => a.revision - b.revision),
      all,
    )
    follower.times.caughtUp++
    if (r.oneIn(3)) startOver(follower)
    return
  }
}

function startOver(follower: Follower): void {
  follower.point = ''
  follower.known.clear()
}

async function forget(run: Run): Promise<void> {
  // What the tables do not have yet is not forgotten; after a clean stop they have all.
  await reopen(run)
  const { r, model, nowMs, follower } = run
  const [beforeMs, limit] = [nowMs - r.int(3000), 1 + r.int(40)]
  expectSame(await run.engine.forget(beforeMs, limit), model.forget(beforeMs, limit))
  // The parts of a cursor: a revision, where it began, and on Redis what its reader has seen.
  const [, revision = '0', began = revision] = /^(\d+)(?:-(\d+))?(?:~\d+)?$/.exec(follower.point) ?? []
  if (Number(revision) === 0 || Number(began) >= model.forgotten()) return
  const refused = await Promise.resolve()
    .then(() => run.engine.changes(follower.point, 10))
    .then(
      () => null,
      (error: unknown) => error,
    )
  expectSame(refused instanceof KvistError && [refused.code, refused.extra], [
    'compacted',
    { oldest: String(model.forgotten()) },
  ])
  follower.times.reset++
  startOver(follower)
}

async function findExpiring({ r, model, engine, nowMs }: Run): Promise<void> {
  const atMs = nowMs + r.int(2000) - 1000
  const limit = 1 + r.int(20)
  const due = model.expiring(atMs)
  const found = await engine.expiring(atMs, limit)
  const times = new Map(
    due.map((one) => [JSON.stringify([one.collection, one.key, one.revision]), one.expiresAtMs]),
  )
  // Those of one time may come in any order.
  const foundTimes = found.map((one) => times.get(JSON.stringify([one.collection, one.key, one.revision])))
  expectSame(
    foundTimes,
    due.slice(0, limit).map(({ expiresAtMs }) => expiresAtMs),
  )
  if (new Set(found.map(({ revision }) => revision)).size < found.length)
    throw new Error('one was found twice')
}

async function count({ model, engine }: Run): Promise<void> {
  expectSame(byName(await engine.collections()), byName(model.collections()))
}

async function letTimePass(run: Run): Promise<void> {
  run.nowMs += run.r.int(300)
  if (run.r.oneIn(3)) await Bun.sleep(run.r.int(4))
}

/** Everything there is, before and after. */
async function reopen(run: Run): Promise<void> {
  await expectAll(run)
  run.engine = await run.kind.reopen(run.engine, run.r, onNotice(run.notified))
  await expectAll(run)
}

async function expectAll({ model, engine }: Run): Promise<void> {
  for (const collection of collections) {
    const range: ScanRange = { collection, from: null, to: null, order: 'asc', limit: 1000, keysOnly: false }
    expectSame((await engine.scan(range)).members, model.scan(range))
  }
  const all = await engine.changes('', 10_000)
  expectSame([all.changes, all.next, all.atEnd], [model.changesAfter(0), engine.head(), true])
  expectSame(byName(await engine.collections()), byName(model.collections()))
}

/** Compares by text, in which bytes are bytes whatever holds them. */
function expectSame(found: unknown, expected: unknown): void {
  const [a, b] = [textOf(found), textOf(expected)]
  if (a !== b) throw new Error(`found ${shortened(a, b)}, not ${shortened(b, a)}`)
}

function textOf(value: unknown): string {
  return JSON.stringify(value, (_name, part) =>
    part instanceof Uint8Array || part?.type === 'Buffer' ? Buffer.from(part).toString('hex') : part,
  )
}

/** The part of a text where it begins to differ from another. */
function shortened(text: string, other: string): string {
  let at = 0
  while (at < text.length && text[at] === other[at]) at++
  return `…${text.slice(Math.max(0, at - 80), at + 200)}…`
}

/** Engines list collections in any order. */
function byName<Named extends { readonly name: string }>(all: readonly Named[]): Named[] {
  return all.toSorted((a, b) => (a.name < b.name ? -1 : 1))
}
