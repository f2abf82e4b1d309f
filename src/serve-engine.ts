import type { Config } from './config.ts'
import type { DatabaseOptions } from './core/database.ts'
import type { EngineStatus } from './core/engine-status.ts'
import { KvistError } from './core/errors.ts'
import { defaultTombstonesMs } from './core/jobs/tombstone-gc.ts'
import { type OpenedEngine, openEngine } from './engines/open.ts'
import type { StoreArchive } from './engines/sqlite/archive/store-archive.ts'
import type { PinnedTables } from './engines/sqlite/pin/pin-tables.ts'
import { cgroupLimitBytes, type MemoryPlan, planMemory } from './memory-plan.ts'
import { redisOptionsOf, redisUrlOf } from './redis-options.ts'

/** How a server opens its engine. */

export function memoryOf(config: Config): MemoryPlan {
  // A cache of this server would not learn of renewals by other servers that are out of its reach for a moment.
  const cacheBytes = redisUrlOf(config) === null ? config.cacheBytes : 0
  return planMemory(config.memoryBytes ?? cgroupLimitBytes(), cacheBytes)
}

/** A tombstone in Redis takes 202 bytes of its memory. */
const hourMs = 3_600_000

export interface EngineOfServer {
  readonly options: Pick<DatabaseOptions, 'open' | 'cacheBytes' | 'tombstonesMs' | 'now'>
  /** Call it once the database is open. */
  status(): Promise<EngineStatus>
  /** See `OpenedEngine`. */
  events(): Readonly<Record<string, number>> | null
  /** Pins the store's tables for a backup. Throws `not_implemented` with an engine that has none. */
  pin(): Promise<PinnedTables>
  archive(): StoreArchive | null
}

/** `systemNow` is the machine's clock, which Redis servers compare with theirs, whatever clock members expire by. */
export function engineOfServer(
  config: Config,
  memory: MemoryPlan,
  now: () => number,
  systemNow: () => number,
  warn: (line: string) => void,
): EngineOfServer {
  const { segmentBytes, isScarce, cacheBytes } = memory
  let opened: OpenedEngine | null = null
  const options: EngineOfServer['options'] = {
    async open(onCommit, onSetback) {
      const redisOptions = redisOptionsOf(config)
      const redis = redisOptions === null ? null : { ...redisOptions, now: systemNow }
      const { archive: dir, archiveEveryMs: everyMs } = config
      const archive = dir === null ? null : { dir, everyMs, now }
      const options = { ...config, redis, segmentBytes, isMemoryScarce: isScarce, archive }
      opened = await openEngine(options, now, onCommit, warn, onSetback)
      return opened.engine
    },
    cacheBytes,
    tombstonesMs: config.tombstonesMs ?? (redisUrlOf(config) === null ? defaultTombstonesMs : hourMs),
    now,
  }
  return {
    options,
    status: () => opened!.status(),
    events: () => opened!.events(),
    async pin() {
      if (opened!.pin !== null) return opened!.pin()
      const isMemory = config.engine === 'memory'
      const means = isMemory ? '' : ", or copy the files of its servers by Redis's own means"
      throw new KvistError(
        'not_implemented',
        `the ${isMemory ? 'memory' : 'Redis'} engine has no files to back up: write the members with kvist export --all${means}`,
      )
    },
    archive: () => opened!.archive,
  }
}
