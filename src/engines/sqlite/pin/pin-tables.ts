import type { Database } from 'bun:sqlite'
import { closeSync, openSync, rmSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { KvistError } from '../../../core/errors.ts'
import { tableFormat } from '../table/schema.ts'
import { type Counts, readCounts, readMeta } from '../table/table.ts'
import { newPinState, notePinFault, type PinFault, type PinnedPages, pinFaultOf } from './pinned-pages.ts'

/** What the tables hold at the moment at which their pages are pinned. */
export interface PinnedFacts {
  readonly storeId: string
  readonly nodeId: string
  /** All commits up to this revision are in the tables, and none after it. */
  readonly revision: number
  readonly tableFormat: number
  readonly pageBytes: number
  readonly pages: number
  readonly tombstones: number
  readonly counts: ReadonlyMap<string, Counts>
}

/** The tables as they are at one moment, for a backup. */
export interface PinnedTables {
  readonly facts: PinnedFacts
  readonly pages: PinnedPages
  /** Throws if pages have been overwritten, or could not be saved: what was read of them cannot be relied upon. */
  check(): void
  /** Call it when the pages are not needed any more. No thread may read them then. */
  release(): void
}

/** Reads the facts, in the flusher's thread, right after a checkpoint. Throws where that did not move everything. */
export function readFacts(db: Database): PinnedFacts {
  if ((statSync(`${db.filename}-wal`, { throwIfNoEntry: false })?.size ?? 0) > 0)
    throw new Error('another program that reads the tables keeps a checkpoint from its end')
  const { storeId, nodeId, flushedRevision } = readMeta(db)
  const number = (sql: string) => Number(db.query(sql).values()[0]?.[0])
  const counts = readCounts(db)
  const members = [...counts.values()].reduce((sum, one) => sum + one.members, 0)
  return {
    storeId,
    nodeId,
    revision: flushedRevision,
    tableFormat,
    pageBytes: number('PRAGMA page_size'),
    pages: number('PRAGMA page_count'),
    // The feed has a row for each member and each tombstone.
    tombstones: number('SELECT coalesce(sum(changes), 0) FROM feed_blocks') - members,
    counts,
  }
}

const faultErrors: Readonly<Record<Exclude<PinFault, 'none'>, () => KvistError>> = {
  full: () =>
    new KvistError(
      'storage_full',
      'the disk of the data folder has no room for the pages that change during the backup',
    ),
  foreign: () =>
    new KvistError('busy', 'another program wrote the tables during the backup, which is therefore useless'),
  closing: () => new KvistError('closing', 'the server is stopping'),
  failed: () => new KvistError('storage_failed', 'the pages that change during a backup cannot be saved'),
}

/** What pins the pages of one engine's tables: one moment at a time. */
export class TablePins {
  private readonly dbPath: string
  private readonly reservedBytes: number
  private files: { readonly fd: number; readonly indexFd: number } | null = null
  private current: PinnedPages | null = null

  constructor(dbPath: string, reservedBytes: number) {
    this.dbPath = dbPath
    this.reservedBytes = reservedBytes
  }

  /** The pages that checkpoints save at present; null for none. */
  pinned(): PinnedPages | null {
    return this.current
  }

  /** Pins what the facts describe. No job of the flusher may run. Throws `busy` while other pages are pinned. */
  begin(facts: PinnedFacts): PinnedTables {
    if (this.current !== null) throw pinBusy()
    this.files ??= { fd: openSync(this.dbPath, 'r'), indexFd: openSync(`${this.dbPath}-shm`, 'r') }
    const pages: PinnedPages = {
      dbPath: this.dbPath,
      ...this.files,
      savedFd: openUnnamed(join(dirname(this.dbPath), 'spare-pinned')),
      pageBytes: facts.pageBytes,
      pages: facts.pages,
      reservedBytes: this.reservedBytes,
      state: newPinState(facts.pages),
    }
    this.current = pages
    let isReleased = false
    return {
      facts,
      pages,
      check() {
        const fault = pinFaultOf(pages)
        if (fault !== 'none') throw faultErrors[fault]()
      },
      release: () => {
        if (isReleased) return
        isReleased = true
        if (this.current === pages) this.current = null
        closeSync(pages.savedFd)
      },
    }
  }

  /** Makes the pages useless to their reader: the engine closes. */
  abort(): void {
    if (this.current !== null) notePinFault(this.current, 'closing')
  }

  /** Closes the files. SQLite must have closed them before. */
  close(): void {
    if (this.files === null) return
    closeSync(this.files.fd)
    closeSync(this.files.indexFd)
    this.files = null
  }
}

export function pinBusy(): KvistError {
  return new KvistError('busy', 'a backup is being taken already')
}

/** Opens a new file and removes its name, so that it is gone when it is closed, however the process ends. */
function openUnnamed(path: string): number {
  const fd = openSync(path, 'w+', 0o600)
  rmSync(path)
  return fd
}
