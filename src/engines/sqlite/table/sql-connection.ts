import { Database, type SQLQueryBindings } from 'bun:sqlite'
import { waitForLocks } from './table.ts'

/**
 * How much of the file is read in place. A page from the kernel's own memory costs a copy and a system call less: of ten
 * million members one at random is read in 3.4 µs in place of 6.2. But mapped pages that were read count as
 * memory of the server, up to the size of the store.
 */
export const mappedBytes = {
  /** For all that is done: writers look up what they replace, lists and the feed walk along. */
  usual: 96 * 1024 * 1024,
  /** For members that somebody asks for: as much as SQLite maps, released when it has not been used for a while. */
  wide: 2 ** 31 - 65536,
  /** Of a file up to this size writers too have all mapped: they find what they replace in 1.9 µs in place of 2.7. */
  small: 256 * 1024 * 1024,
}

/** After so long without a read what is mapped is released. */
const idleMs = 10_000

/** A connection that only reads. */
export interface ReadConnection {
  /** A statement that `close` finalizes: one that is not keeps the file open. */
  prepare<Row, Params extends SQLQueryBindings[]>(
    sql: string,
  ): ReturnType<typeof Database.prototype.prepare<Row, Params>>
  /**
   * Begins a read transaction for this tick of the event loop unless there is one: that makes a read two to four times as
   * quick (docs/design/engine-sqlite.md), and means that a tick sees one state of the tables.
   */
  begin(): void
  /** Ends the transaction, so that the next read sees the newest state. */
  release(): void
  close(): void
}

export function openReadConnection(path: string, mapped: number): ReadConnection {
  const db = new Database(path, { readwrite: true })
  db.run('PRAGMA query_only = 1')
  waitForLocks(db)
  db.run(`PRAGMA mmap_size = ${mapped}`)
  db.run('PRAGMA cache_size = -4000')
  const statements: { finalize(): void }[] = []
  function prepare<Row, Params extends SQLQueryBindings[]>(sql: string) {
    const statement = db.prepare<Row, Params>(sql)
    statements.push(statement)
    return statement
  }
  const begin = prepare<null, []>('BEGIN')
  const commit = prepare<null, []>('COMMIT')
  let isReading = false
  let isMapped = false
  let wasUsed = false

  function release(): void {
    if (!isReading) return
    isReading = false
    try {
      commit.run()
    } catch {
      // A read that met damage has said so; its transaction ended with that.
    }
  }

  function releaseIdleMemory(): void {
    if (wasUsed) isMapped = true
    else if (isMapped) {
      release()
      db.run('PRAGMA mmap_size = 0')
      db.run(`PRAGMA mmap_size = ${mapped}`)
      isMapped = false
    }
    wasUsed = false
  }
  const idleTimer = setInterval(releaseIdleMemory, idleMs)
  idleTimer.unref()

  return {
    prepare,
    begin() {
      if (isReading) return
      begin.run()
      isReading = true
      wasUsed = true
      setImmediate(release)
    },
    release,
    close() {
      clearInterval(idleTimer)
      release()
      for (const statement of statements) statement.finalize()
      db.close()
    },
  }
}
