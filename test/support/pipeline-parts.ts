import { noPages } from '../../src/engines/sqlite/btree/guarded-pages.ts'
import type { Overlay } from '../../src/engines/sqlite/overlay.ts'
import type { TableReader } from '../../src/engines/sqlite/table/table-reader.ts'
import type { LogFlusher } from '../../src/engines/sqlite/wal/log-writer.ts'

/** Parts around the commit pipeline that do nothing, for tests that run it alone. */

/** A flusher that is never behind, and does nothing with what is added. */
export const idleFlusher: LogFlusher = {
  add() {},
  idle() {},
  hurry() {},
  waiting: () => 0,
  busyForMs: () => 0,
  progress: () => Promise.resolve(),
  failure: () => null,
  reuse: async () => ({ chunk: null, path: null }),
  hasFile: () => false,
  discardFiles: async () => false,
  isShortOfRoom: () => false,
  makeAhead() {},
}

export const unusedReserve = {
  ensure: async () => {},
  missingBytes: () => 0,
  takeSegment: () => null,
  makeSegment: async () => {},
  putBack: () => false,
  releaseTables: () => false,
  noteRoomInTables() {},
}

/** Tables that are never read: no key is put twice. */
export function emptyOverlay(): Overlay {
  const reader = {} as TableReader
  return {
    tables: [],
    reader,
    wideReader: reader,
    pages: noPages(),
    isSmall: false,
    lastInTables: new Map(),
    inTables: new Set(),
    damage: null,
  }
}
