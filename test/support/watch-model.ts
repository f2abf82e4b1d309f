import { type Database, openDatabase } from '../../src/core/database.ts'
import type { Engine, FeedCursor } from '../../src/core/engine.ts'
import type { FeedEvent, Scope } from '../../src/core/feed/scope.ts'
import type { WatchBounds, Watcher } from '../../src/core/feed/watcher.ts'
import { expiryOf } from '../../src/core/jobs/sweeper.ts'
import { isOwnCollection } from '../../src/core/keys.ts'
import { type Change, isExpired, keyOf, revisionOf } from '../../src/core/member.ts'
import { nextTick } from '../../src/core/next-tick.ts'
import { compilePattern } from '../../src/core/pattern.ts'
import { openSqlite } from '../../src/engines/sqlite/engine.ts'
import { compactedEngine, lateEngine, revisionAt } from './late-engine.ts'
import type { Random } from './random.ts'

/**
 * A store, and those who watch it, for the model test of watching. What is true is the list of all changes that the
 * engine reported, kept apart from what is tested: the state at any revision is the last change of each member up to it.
 */
export interface World {
  readonly db: () => Database
  /** Every change, in order. */
  readonly notified: readonly Change[]
  readonly now: () => number
  setNow(ms: number): void
  /** How often the clock was set. */
  readonly jumps: () => number
  /** Answers of the feed come later than they are asked for. */
  readonly isLate: boolean
  /** Expires what is due, as the sweeper does once a second. */
  sweep(): Promise<void>
  /** Gives a member another expiry, as a read of one whose expiry slides does. */
  renew(collection: string, key: string, expiresAtMs: number): Promise<void>
  /** Takes the oldest tombstones away, so many at most. */
  compact(count: number): Promise<void>
  reopen(): Promise<void>
  close(): Promise<void>
}

export interface WorldOptions {
  readonly r: Random
  readonly dir: string
  readonly bounds: WatchBounds | undefined
  readonly isLate: boolean
}

export async function openWorld({ r, dir, bounds, isLate }: WorldOptions): Promise<World> {
  const notified: Change[] = []
  let nowMs = 1e12
  let jumps = 0
  let oldest = 0
  let engine: Engine
  let db = await open()

  async function wayThere(): Promise<void> {
    if (r.oneIn(5)) await Bun.sleep(r.int(4))
    else if (r.oneIn(2)) await nextTick()
  }

  function open(): Promise<Database> {
    return openDatabase({
      async open(onCommit) {
        engine = await openSqlite({
          dir,
          durability: 'relaxed',
          segmentBytes: 256 * 1024,
          onCommit(changes, cursorAfter) {
            notified.push(...changes.filter((change) => change.type !== 'renew'))
            onCommit(changes, cursorAfter)
          },
        })
        // SQLite forgets only what it has put into its tables; this forgets at any moment.
        return isLate
          ? lateEngine(
              compactedEngine(engine, () => oldest),
              wayThere,
            )
          : engine
      },
      cacheBytes: 1 << 16,
      now: () => nowMs,
      onError(error) {
        throw error
      },
      ...(bounds === undefined ? {} : { watchBounds: bounds }),
    })
  }

  return {
    db: () => db,
    notified,
    now: () => nowMs,
    setNow(ms) {
      nowMs = ms
      jumps++
    },
    jumps: () => jumps,
    isLate,
    async sweep() {
      const due = await engine.expiring(nowMs, 1000)
      await engine.commit({ checks: [], writes: due.map(expiryOf), nowMs })
    },
    async renew(collection, key, expiresAtMs) {
      const member = await engine.read(collection, key)
      if (member === null || isExpired(member, nowMs)) return
      const write = { op: 'renew', collection, key, expiresAtMs, ifRevision: member.revision } as const
      await engine.commit({ checks: [], writes: [write], nowMs })
    },
    async compact(count) {
      if (!isLate) return void (await engine.forget(Number.MAX_SAFE_INTEGER, count))
      const ends = notified.filter((change) => change.type !== 'put' && revisionOf(change) > oldest)
      oldest = lastOf(ends.slice(0, count)) || oldest
    },
    async reopen() {
      await db.close()
      db = await open()
    },
    close: () => db.close(),
  }
}

export const keys = [
  ...Array.from({ length: 12 }, (_, i) => `k${i}`),
  'user/1',
  'user/2',
  'é',
  '日',
  '\u{1f600}',
]
export const collections = ['a', 'ab', 'ü']

export const wholeStore: Scope = { collection: null, key: null, prefix: null, filter: null }

export function randomScope(r: Random): Scope {
  const collection = r.oneIn(3) ? null : r.pick(collections)
  const all: Scope = { collection, key: null, prefix: null, filter: null }
  if (collection !== null && r.oneIn(3)) return { ...all, key: r.pick(keys) }
  if (r.oneIn(3)) return { ...all, prefix: r.pick(['k', 'k1', 'user/']) }
  if (r.oneIn(3)) return { ...all, filter: compilePattern(r.pick(['*1', 'k?', 'user/*', 'none*'])) }
  return all
}

export function lastOf(changes: readonly Change[]): number {
  const last = changes.at(-1)
  return last === undefined ? 0 : revisionOf(last)
}

export function isIn({ collection, key, prefix, filter }: Scope, change: Change): boolean {
  const name = keyOf(change)
  return (
    !isOwnCollection(change.collection) &&
    (collection === null || collection === change.collection) &&
    (key === null || key === name) &&
    (prefix === null || name.startsWith(prefix)) &&
    (filter === null || filter.matches(name))
  )
}

/** The members of a scope after all these changes, and at which revision each is. */
export function stateWithin(scope: Scope, changes: readonly Change[]): Map<string, string> {
  const state = new Map<string, string>()
  for (const change of changes) if (isIn(scope, change)) fold(state, change)
  return state
}

function fold(state: Map<string, string>, change: Change): void {
  const id = `${change.collection}/${keyOf(change)}`
  if (change.type === 'put') state.set(id, `${change.member.revision} ${change.member.value}`)
  else state.delete(id)
}

/** One who watches as a client does: reads when it is woken, and comes back with the last point that it handled. */
export interface Follower {
  readonly scope: Scope
  /** The state that it derives from what it read. */
  readonly state: ReadonlyMap<string, string>
  /** The revisions that it read. */
  readonly seen: readonly number[]
  readonly resets: () => number
  /** Reads once, if there is something to read, and handles the first few of what comes. */
  step(handled?: number): Promise<void>
  /** Comes back, and reads until there is nothing. Throws what was wrong on the way. */
  finish(): Promise<void>
  /** Loses its connection, in the middle of a read perhaps; `comeBack` goes on from the last point that it handled. */
  leave(): void
  comeBack(): void
  readonly isAway: () => boolean
}

export interface FollowerOptions {
  readonly world: World
  readonly r: Random
  readonly scope: Scope
  readonly since: FeedCursor | null
  /** Reads as soon as it is woken. */
  readonly isEager?: boolean
}

/** One connection of a follower. */
interface Connected {
  readonly watcher: Watcher
  /** There is something to read, as far as it was woken. */
  isReady: boolean
  reading: Promise<void> | null
}

export function follower({ world, r, scope, since, isEager = false }: FollowerOptions): Follower {
  // One that begins now knows, as its client would, what there is.
  const state = since === null ? stateWithin(scope, world.notified) : new Map<string, string>()
  const seen: number[] = []
  const faults: unknown[] = []
  let lastRevision = since === null ? lastOf(world.notified) : 0
  let resets = 0
  let point = since
  let connected: Connected | null = null

  function comeBack(): void {
    const watcher = world.db().watch(scope, point, () => {
      if (connected !== mine) faults.push(new Error('it was woken after it was closed'))
      if (mine.isReady || mine.reading !== null) faults.push(new Error('it was woken, and need not be'))
      mine.isReady = true
      if (isEager) void readAll()
    })
    const mine: Connected = { watcher, isReady: point !== null, reading: null }
    connected = mine
    point ??= watcher.cursor()
  }

  function leave(): void {
    if (connected === null) return
    // A client that was sent a heartbeat has the point of that.
    if (connected.reading === null && r.oneIn(2)) movePoint(connected.watcher.cursor())
    connected.watcher.close()
    connected = null
  }

  function movePoint(to: FeedCursor): void {
    demand(revisionAt(to) >= revisionAt(point ?? ''), `the point went back from ${point} to ${to}`)
    point = to
  }

  async function read(mine: Connected, handled: number): Promise<void> {
    const { jumps } = world
    const at = jumps()
    const before = mine.watcher.cursor()
    const reading = mine.watcher.read()
    if (reading instanceof Promise) {
      demand(mine.watcher.cursor() === before, 'the point moved before there was a response')
    }
    const batch = await reading
    // What comes after the connection was lost is not seen.
    if (connected !== mine) return
    if (batch === null) mine.isReady = false
    else if (batch.type === 'reset') {
      resets++
      state.clear()
      lastRevision = 0
      point = ''
    } else {
      if (batch.type === 'large') throw new Error('nothing is large here')
      demand(batch.events.length > 0, 'there was nothing in a batch')
      for (const event of batch.events.slice(0, handled)) handle(event, at === jumps() ? world.now() : 0)
      if (handled < batch.events.length) {
        mine.watcher.close()
        connected = null
      }
    }
  }

  function handle({ change, cursor: after }: FeedEvent, nowMs: number): void {
    const revision = revisionOf(change)
    // Where responses come late, one who watches a member may read it twice when it comes back at that moment.
    const isRepeat = world.isLate && scope.key !== null && revision === lastRevision
    demand(revision > lastRevision || isRepeat, `revision ${revision} came after ${lastRevision}`)
    demand(isIn(scope, change), `${keyOf(change)} is not in the scope`)
    demand(
      change.type !== 'put' || !isExpired(change.member, nowMs),
      `${keyOf(change)} came after its expiry`,
    )
    lastRevision = revision
    seen.push(revision)
    movePoint(after)
    fold(state, change)
  }

  function step(handled = Number.POSITIVE_INFINITY): Promise<void> {
    const mine = connected
    if (mine === null || !mine.isReady || mine.reading !== null) return Promise.resolve()
    mine.reading = read(mine, handled)
      .catch((error: unknown) => {
        if (connected === mine) faults.push(error)
      })
      .finally(() => {
        mine.reading = null
      })
    return mine.reading
  }

  async function readAll(): Promise<void> {
    while (connected !== null && faults.length === 0) {
      if (connected.reading !== null) await connected.reading
      else if (connected.isReady) await step()
      else return
    }
  }

  comeBack()
  return {
    scope,
    state,
    seen,
    resets: () => resets,
    step,
    async finish() {
      if (connected === null) comeBack()
      await readAll()
      if (faults.length > 0) throw faults[0]
    },
    leave,
    comeBack,
    isAway: () => connected === null,
  }
}

function demand(holds: boolean, what: string): void {
  if (!holds) throw new Error(what)
}
