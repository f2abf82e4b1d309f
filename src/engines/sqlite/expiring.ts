import type { ExpiringRef } from '../../core/engine.ts'
import { findRecord, isLatest } from './memtable/memtable.ts'
import { type Overlay, requireWhole } from './overlay.ts'
import { damagedStore } from './table/damage.ts'
import { recordCollection, recordExpiresAtMs, recordKey, recordRevision } from './wal/record.ts'

/** Reads which members are due to expire, from the tables and the memtables. */

export function expiringMembers(overlay: Overlay, atMs: number, limit: number): ExpiringRef[] {
  if (overlay.damage !== null) throw damagedStore(overlay.damage)
  const found = [...expiringInTables(overlay, atMs, limit), ...expiringInOverlay(overlay, atMs)]
  return found.sort((a, b) => a.expiresAtMs - b.expiresAtMs).slice(0, limit)
}

function expiringInTables(overlay: Overlay, atMs: number, limit: number): ExpiringRef[] {
  const { tables, reader } = overlay
  const found: ExpiringRef[] = []
  for (let skip = 0; found.length < limit; skip += limit) {
    const rows = reader.expiring(atMs, limit, skip)
    found.push(...rows.filter(({ collection, key }) => findRecord(tables, collection, key) === null))
    if (rows.length < limit) break
  }
  requireWhole(overlay, 'expiries', [], [found.length < limit ? atMs : found.at(-1)!.expiresAtMs])
  return found
}

function expiringInOverlay({ tables }: Overlay, atMs: number): ExpiringRef[] {
  const found: ExpiringRef[] = []
  for (const table of tables) {
    const { chunk, expiring } = table
    let kept = 0
    for (const at of expiring) {
      const expiresAtMs = recordExpiresAtMs(chunk, at)!
      const due = expiresAtMs <= atMs
      // An overwritten record is dropped, so that the next scan is shorter.
      if (due && !isLatest(tables, table, at)) continue
      expiring[kept++] = at
      if (!due) continue
      found.push({
        collection: recordCollection(chunk, at),
        key: recordKey(chunk, at),
        revision: recordRevision(chunk, at),
        expiresAtMs,
      })
    }
    expiring.length = kept
  }
  return found
}
