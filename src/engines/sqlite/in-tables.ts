import type { MemberRef } from '../../core/engine.ts'
import { sortKey } from '../../core/keys.ts'
import type { Memtable } from './memtable/memtable.ts'

/** What is known, without reading the tables, of the keys that they have. */
export interface InTables {
  /** Collections that may have rows in the tables; for others the tables are not read. */
  readonly inTables: Set<string>
  /**
   * The last key that each collection may have in the tables, as `sortKey` returns it; of those that had rows when the
   * store was opened it is not known.
   */
  readonly lastInTables: Map<string, string>
}

/** Notes that the records of a memtable are in the tables. */
export function noteFlushed({ inTables, lastInTables }: InTables, { collections }: Memtable): void {
  for (const [name, keys] of collections) {
    const last = keys.last()!
    const known = lastInTables.get(name)
    if (known === undefined ? !inTables.has(name) : last > known) lastInTables.set(name, last)
    inTables.add(name)
  }
}

/** Returns whether the tables may have a member; otherwise they need not be read. */
export function mayBeInTables({ inTables, lastInTables }: InTables, { collection, key }: MemberRef): boolean {
  if (!inTables.has(collection)) return false
  const last = lastInTables.get(collection)
  return last === undefined || sortKey(key) <= last
}
