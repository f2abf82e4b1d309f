import { msToStamp } from '../core/clock.ts'
import type { Durability, Engine, OnCommit } from '../core/engine.ts'
import type { EngineName, PagesMode } from './engine-names.ts'
import { openMemory } from './memory/engine.ts'
import { openSqlite } from './sqlite/engine.ts'

export interface EngineOptions {
  readonly engine: EngineName
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
}

/**
 * Opens the engine that the options name. Throws an Error with a message of one line when the store must not be opened.
 * `warn` receives a line for the operator for each upgrade, repair or ignored damage.
 */
export async function openEngine(
  options: EngineOptions,
  nowMs: number,
  onCommit: OnCommit,
  warn: (line: string) => void,
): Promise<Engine> {
  if (options.engine === 'memory') return openMemory({ onCommit, firstRevision: msToStamp(nowMs) })
  const { dataFolder: dir, durability, acceptDamagedLog, sqlitePages: pages } = options
  const { segmentBytes, isMemoryScarce, newNodeId } = options
  return openSqlite({
    dir,
    durability,
    onCommit,
    acceptDamagedLog,
    pages,
    segmentBytes,
    isMemoryScarce,
    newNodeId,
    warn,
  })
}
