import { msToStamp } from '../core/clock.ts'
import type { Durability, Engine, OnCommit, OnSetback } from '../core/engine.ts'
import type { EngineStatus } from '../core/engine-status.ts'
import type { PagesMode } from './engine-names.ts'
import { openMemory } from './memory/engine.ts'
import { openRedis, type RedisEngineOptions } from './redis/engine.ts'
import type { RedisOptions } from './redis/options.ts'
import type { ArchiveOptions, StoreArchive } from './sqlite/archive/store-archive.ts'
import { openSqlite } from './sqlite/engine.ts'
import type { PinnedTables } from './sqlite/pin/pin-tables.ts'

export interface EngineOptions {
  /** `sqlite`, `memory`, or the URL of Redis servers, which is in `redis` then. */
  readonly engine: string
  readonly redis: (Omit<RedisOptions, 'isDurable'> & Pick<RedisEngineOptions, 'now'>) | null
  /** The folder of SQLite's files. */
  readonly dataFolder: string
  readonly durability: Durability
  /** The name of a damage of SQLite's log whose loss is accepted (`damageName`); null for none. */
  readonly acceptDamagedLog: string | null
  /** Gives SQLite's store another node id. */
  readonly newNodeId: boolean
  readonly sqlitePages: PagesMode
  /** Size of a segment of SQLite's log in bytes; up to seven are in memory at once. */
  readonly segmentBytes: number
  /** See `SqliteOptions`. */
  readonly isMemoryScarce: boolean
  /** Where SQLite's log is archived; null for nowhere. */
  readonly archive: ArchiveOptions | null
}

/** An engine, and what it says of itself to operators. */
export interface OpenedEngine {
  readonly engine: Engine
  status(): Promise<EngineStatus>
  /** Counts of events between this server and those of Redis; null with another engine. */
  events(): Readonly<Record<string, number>> | null
  /** Pins the tables for a backup; null with an engine that has no files. */
  readonly pin: (() => Promise<PinnedTables>) | null
  /** The archive of its log; null without one. */
  readonly archive: StoreArchive | null
}

/**
 * Opens the engine that the options name. Throws an Error with a message of one line when the store must not be opened.
 * `warn` receives a line for the operator for each upgrade, repair or ignored damage.
 */
export async function openEngine(
  options: EngineOptions,
  now: () => number,
  onCommit: OnCommit,
  warn: (line: string) => void,
  onSetback: OnSetback,
): Promise<OpenedEngine> {
  const { redis } = options
  if (redis !== null) {
    const isDurable = options.durability === 'full'
    const engine = await openRedis({ ...redis, isDurable, onCommit, onSetback, warn })
    return {
      engine,
      status: () => engine.status(),
      events: () => engine.events(),
      pin: null,
      archive: null,
    }
  }
  if (options.engine === 'memory') {
    return withoutServers('memory', openMemory({ onCommit, firstRevision: msToStamp(now()) }), null)
  }
  const { dataFolder: dir, durability, acceptDamagedLog, sqlitePages: pages } = options
  const { segmentBytes, isMemoryScarce, newNodeId, archive } = options
  const sqlite = await openSqlite({
    dir,
    durability,
    onCommit,
    acceptDamagedLog,
    pages,
    segmentBytes,
    isMemoryScarce,
    newNodeId,
    archive,
    warn,
  })
  return { ...withoutServers('sqlite', sqlite, sqlite.pin), archive: sqlite.archive }
}

function withoutServers(
  name: EngineStatus['engine'],
  engine: Engine,
  pin: OpenedEngine['pin'],
): OpenedEngine {
  const status = async () => ({ engine: name, primaries: [], lines: [] })
  return { engine, status, events: () => null, pin, archive: null }
}
