import { type Database, openDatabase } from '../../src/core/database.ts'
import type { Engine, OnCommit } from '../../src/core/engine.ts'
import type { IndexEvent } from '../../src/core/indexes/one-build.ts'
import { realTimers, type Timers } from '../../src/core/timers.ts'
import type { RedisOptions } from '../../src/engines/redis/options.ts'
import type { ServerAddress } from '../../src/engines/redis/servers.ts'
import { openTestRedis } from './redis-engine.ts'

/** Several kvist servers of one store in Redis, in this process. */
export interface SharedDatabase {
  readonly db: Database
  readonly engine: Engine
  /** From now on it is not notified of what is committed, by itself included, until it is released. */
  hold(): void
  release(): void
  /** What happened to indexes here. */
  readonly events: readonly IndexEvent['type'][]
}

export interface SharedDatabaseOptions extends Partial<RedisOptions> {
  readonly prefix: string
  /** Of the core, not of the engine. */
  readonly timers?: Timers
}

export async function openShared(
  servers: readonly ServerAddress[],
  { timers = realTimers, ...options }: SharedDatabaseOptions,
): Promise<SharedDatabase> {
  let held: Parameters<OnCommit>[] | null = null
  let engine: Engine | null = null
  const events: IndexEvent['type'][] = []
  let notify: OnCommit = () => {}
  const db = await openDatabase({
    open: async (onCommit, onSetback) => {
      notify = onCommit
      engine = await openTestRedis(servers, {
        ...options,
        onSetback,
        onCommit(...args) {
          if (held === null) onCommit(...args)
          else held.push(args)
        },
      })
      return engine
    },
    cacheBytes: 0,
    now: Date.now,
    timers,
    onError(error) {
      console.error(error)
    },
    onIndexEvent: ({ type }) => events.push(type),
  })
  return {
    db,
    engine: engine!,
    events,
    hold() {
      held ??= []
    },
    release() {
      const late = held ?? []
      held = null
      for (const args of late) notify(...args)
    },
  }
}

/** Waits until all indexes of a collection are in a state, at a server. */
export async function untilIndexes(
  { db }: Pick<SharedDatabase, 'db'>,
  collection: string,
  state: string,
  patienceMs = 20_000,
): Promise<void> {
  const endAtMs = performance.now() + patienceMs
  const isThere = () => {
    const all = db.indexesOf(collection)
    return all.length > 0 && all.every((one) => one.state === state)
  }
  while (!isThere()) {
    if (performance.now() > endAtMs) {
      throw new Error(
        `indexes of ${collection} are not ${state}: ${JSON.stringify(db.indexesOf(collection))}`,
      )
    }
    await Bun.sleep(2)
  }
}
