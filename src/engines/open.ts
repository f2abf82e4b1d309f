import { msToStamp } from '../core/clock.ts'
import type { Durability, Engine, OnCommit } from '../core/engine.ts'
import type { EngineName, PagesMode } from './engine-names.ts'
import { openMemory } from './memory/engine.ts'
import { openSqlite } from './sqlite/engine.ts'

export interface EngineOptions {
  readonly engine: EngineName
  /** Where SQLite keeps its files. */
  readonly dataFolder: string
  readonly durability: Durability
  /** The damage of SQLite's log whose loss is accepted, as the refusal named it. */
  readonly acceptDamagedLog: string | null
  readonly sqlitePages: PagesMode
  /** Size of a segment of SQLite's log; several are in memory at once. */
  readonly segmentBytes: number
  /** See `SqliteOptions`. */
  readonly isMemoryScarce: boolean
}

/**
 * Throws an Error with one clear line when the store must not be opened. `warn` gets lines for the operator: what was
 * upgraded, repaired or passed over.
 */
export async function openEngine(
  options: EngineOptions,
  nowMs: number,
  onCommit: OnCommit,
  warn: (line: string) => void,
): Promise<Engine> {
  if (options.engine === 'memory') return openMemory({ onCommit, firstRevision: msToStamp(nowMs) })
  const { dataFolder: dir, durability, acceptDamagedLog, sqlitePages: pages } = options
  const { segmentBytes, isMemoryScarce } = options
  return openSqlite({
    dir,
    durability,
    onCommit,
    acceptDamagedLog,
    pages,
    segmentBytes,
    isMemoryScarce,
    warn,
  })
}
