import { Database, type SQLQueryBindings } from 'bun:sqlite'
import { waitForLocks } from './table.ts'

/**
 * How many bytes of the file a connection maps. Reading a mapped page saves a copy and a system call: a random one of ten
 * million members is read in 3.4 µs instead of 6.2. But mapped pages that were read count as memory of the server, up to
 * the size of the store.
 */
export const mappedBytes = {
  /** For writers, which look up the versions they replace, and for scans and the feed. */
  usual: 96 * 1024 * 1024,
  /** For reads of members by key: the most that SQLite maps; released when idle. */
  wide: 2 ** 31 - 65536,
  /** Up to this size of the file writers too read the whole map: a lookup takes 1.9 µs instead of 2.7. */
  small: 256 * 1024 * 1024,
}

/** After a whole interval without a read the mapped memory is released. */
const idleMs = 10_000

/** A connection that only reads. */
export interface ReadConnection {
  /** Prepares a statement that `close` finalizes: an open statement would keep the file open. */
  prepare<Row, Params extends SQLQueryBindings[]>(
    sql: string,
  ): ReturnType<typeof Database.prototype.prepare<Row, Params>>
  /**
   * Begins a read transaction for the rest of this tick of the event loop, unless one is open. It makes reads two to four
   * times as fast (docs/design/engine-sqlite.md), and all reads of a tick see one state of the tables unless `release` is
   * called.
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
      // A read that found damage has thrown already, and its transaction ended with that.
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
