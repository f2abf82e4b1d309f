import { Database, type SQLQueryBindings, type Statement } from 'bun:sqlite'
import type { ExpiringRef } from '../../core/engine.ts'
import { jsonContentType, type Member, type RemovalCause, type Tombstone } from '../../core/member.ts'
import { nodeIdLength, type Origin, randomName, type StoredOrigin } from '../../core/origin.ts'
import { formatRefusal } from './format.ts'
import type { Standing } from './record.ts'

/**
 * The tables: where everything the log said ends up, ordered by key. One writer, the applier (apply.ts); the server's
 * thread reads. Opened with any sqlite3 shell they read as what they are.
 */
export const tableFormat = 2
/** "kvst", in the header of the file: what tells kvist's files from other SQLite files. */
const applicationId = 0x6b767374

/** Revisions that a row of `feed_blocks` stands for. */
export const blockRevisions = 4096

const schema = `
  CREATE TABLE meta (name TEXT PRIMARY KEY, value ANY NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE collections (
    name TEXT PRIMARY KEY,
    members INTEGER NOT NULL,
    bytes INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE members (
    collection TEXT NOT NULL,
    key TEXT NOT NULL,
    value ANY NOT NULL, -- TEXT is JSON, BLOB is anything else
    revision INTEGER NOT NULL,
    created_at INTEGER NOT NULL, -- milliseconds
    clock INTEGER NOT NULL, -- milliseconds * 2048 + counter
    expires_at INTEGER, -- milliseconds
    content_type TEXT, -- NULL for application/json
    flags INTEGER NOT NULL,
    node TEXT, -- NULL for this one
    PRIMARY KEY (collection, key)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE expiries (
    expires_at INTEGER NOT NULL,
    collection TEXT NOT NULL,
    key TEXT NOT NULL,
    PRIMARY KEY (expires_at, collection, key)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE tombstones (
    collection TEXT NOT NULL,
    key TEXT NOT NULL,
    revision INTEGER NOT NULL,
    ending TEXT NOT NULL, -- delete or expire
    clock INTEGER NOT NULL,
    node TEXT,
    PRIMARY KEY (collection, key)
  ) STRICT, WITHOUT ROWID;
  -- The latest state of every member and tombstone, in the order of revisions.
  CREATE TABLE feed (
    revision INTEGER PRIMARY KEY,
    collection TEXT NOT NULL,
    key TEXT NOT NULL,
    ending TEXT -- NULL for a living member
  ) STRICT;
  CREATE INDEX feed_endings ON feed (revision) WHERE ending IS NOT NULL;
  -- How many rows of a block of ${blockRevisions} revisions are of a collection; only where there are some.
  CREATE TABLE feed_blocks (
    collection TEXT NOT NULL,
    block INTEGER NOT NULL,
    changes INTEGER NOT NULL,
    PRIMARY KEY (collection, block)
  ) STRICT, WITHOUT ROWID;
`

export interface Meta {
  /** 16 characters that no other store has; the log's segments carry them. */
  readonly storeId: string
  readonly nodeId: string
  readonly appliedRevision: number
  /** The largest clock stamp up to the applied revision. */
  readonly clock: number
}

/** A file that kvist cannot or must not open; the message says why in one line. */
export class RefusedFile extends Error {}

/** How long a statement waits for others to let go of the file. */
const lockWaitMs = 10_000

/** Of all statements on a connection, until it is said again. */
export function waitForLocks(db: Database, ms = lockWaitMs): void {
  db.run(`PRAGMA busy_timeout = ${ms}`)
}

/** Opens the file for writing, making it when it is not there. Throws RefusedFile, and then has not touched it. */
export function openForWriting(path: string): Database {
  let db: Database | undefined
  try {
    db = new Database(path, { create: true, readwrite: true })
    waitForLocks(db)
    const isNew = checkFile(db, path)
    db.run('PRAGMA page_size = 8192')
    db.run('PRAGMA journal_mode = WAL')
    db.run('PRAGMA synchronous = FULL')
    // The applier checkpoints itself, after each batch.
    db.run('PRAGMA wal_autocheckpoint = 0')
    db.run('PRAGMA cache_size = -16000')
    if (isNew) createSchema(db)
    return db
  } catch (error) {
    db?.close()
    throw refusal(path, error)
  }
}

function createSchema(db: Database): void {
  db.run('BEGIN')
  db.run(schema)
  const insert = db.query('INSERT INTO meta VALUES (?, ?)')
  insert.run('store_id', randomName(16))
  insert.run('node_id', randomName(nodeIdLength))
  insert.run('applied_revision', 0)
  insert.run('clock', 0)
  insert.run('forgotten_revision', 0)
  db.run(`PRAGMA application_id = ${applicationId}`)
  db.run(`PRAGMA user_version = ${tableFormat}`)
  db.run('COMMIT')
}

/** Refuses what is not kvist's, before anything is written; true for a file that nothing was written to yet. */
function checkFile(db: Database, path: string): boolean {
  const id = pragma(db, 'application_id')
  const format = pragma(db, 'user_version')
  if (id === 0 && format === 0 && tableCount(db) === 0) return true
  if (id !== applicationId) throw new RefusedFile(`${path} is an SQLite file, but not one of kvist's`)
  const unread = formatRefusal(path, format, tableFormat)
  if (unread !== null) throw new RefusedFile(unread)
  return false
}

/** What to tell the operator of a file that SQLite could not open or read. */
export function refusal(path: string, cause: unknown): RefusedFile {
  if (cause instanceof RefusedFile) return cause
  const code = sqliteCode(cause)
  if (code.startsWith('SQLITE_NOTADB') || code.startsWith('SQLITE_CORRUPT')) {
    return new RefusedFile(`${path} is damaged or not a kvist file: ${message(cause)}`, { cause })
  }
  return new RefusedFile(`cannot open ${path}: ${message(cause)}`, { cause })
}

/** SQLite's name of an error, or the system's; empty for others. */
export function sqliteCode(error: unknown): string {
  if (error instanceof RefusedFile) return sqliteCode(error.cause)
  return error instanceof Error && 'code' in error ? String(error.code) : ''
}

function message(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

function pragma(db: Database, name: string): number {
  return Number(db.query(`PRAGMA ${name}`).values()[0]?.[0])
}

function tableCount(db: Database): number {
  return Number(db.query('SELECT count(*) FROM sqlite_schema').values()[0]?.[0])
}

export interface Start {
  readonly meta: Meta
  readonly counts: Map<string, Counts>
  /** The page where the b-tree of `members` begins; it stays that while the file is open. */
  readonly membersRoot: number
}

/** What the tables know when a store is opened. Throws RefusedFile. */
export function readStart(path: string): Start {
  using db = openForWriting(path)
  try {
    const meta = readMeta(db)
    if (!Number.isSafeInteger(meta.appliedRevision)) {
      throw new RefusedFile(`${path} is damaged: it does not say how much of the log it has`)
    }
    return { meta, counts: readCounts(db), membersRoot: readMembersRoot(db) }
  } catch (error) {
    throw refusal(path, error)
  }
}

export function readMeta(db: Database): Meta {
  const rows = new Map(db.query('SELECT name, value FROM meta').values() as [string, unknown][])
  return {
    storeId: String(rows.get('store_id')),
    nodeId: String(rows.get('node_id')),
    appliedRevision: Number(rows.get('applied_revision')),
    clock: Number(rows.get('clock')),
  }
}

export interface Counts {
  members: number
  bytes: number
}

function readCounts(db: Database): Map<string, Counts> {
  const rows = db.query('SELECT name, members, bytes FROM collections').values() as [string, number, number][]
  return new Map(rows.map(([name, members, bytes]) => [name, { members, bytes }]))
}

function readMembersRoot(db: Database): number {
  return Number(db.query("SELECT rootpage FROM sqlite_schema WHERE name = 'members'").values()[0]?.[0])
}

export interface TableRange {
  readonly collection: string
  readonly from: string | null
  readonly to: string | null
  readonly order: 'asc' | 'desc'
  readonly keysOnly: boolean
}

/** A row of the feed: with all of the member, or with how it ended. */
export type FeedRow = Member & { readonly collection: string; readonly cause: RemovalCause | null }

/** The reader of the server's thread. */
export interface TableReader {
  read(collection: string, key: string): Member | null
  standing(collection: string, key: string): Standing | null
  tombstone(collection: string, key: string): Tombstone | null
  /** Of the member or its tombstone. */
  origin(collection: string, key: string): StoredOrigin | null
  /** Rows in key order, read as they are asked for; use them within the turn, and one scan of a shape at a time. */
  scan(range: TableRange): IterableIterator<Member>
  /** The feed after a revision and before another, in order; use the rows as those of a scan. */
  feed(after: number, before: number): IterableIterator<FeedRow>
  /** As `feed`, of one collection; looks at every row that lies between. */
  feedOf(collection: string, after: number, before: number): IterableIterator<FeedRow>
  /** Blocks of revisions that have changes of a collection, from one on, in order. */
  feedBlocks(collection: string, from: number, limit: number): number[]
  /** The newest revision of which the tombstone was forgotten; 0 when none ever was. */
  forgotten(): number
  /** The clock stamp of the oldest tombstone. */
  oldestTombstone(): number | null
  /** In the order of their times, `skip` of them passed over. */
  expiring(atMs: number, limit: number, skip: number): ExpiringRef[]
  /** How large the file is. */
  bytes(): number
  /** Lets go of the state of the tables that is being read, so that the next read sees the newest. */
  release(): void
  close(): void
}

/**
 * How much of the file is read in place. A page from the kernel's own memory costs a copy and a system call less: of ten
 * million members one at random is read in 3.4 µs in place of 6.2. But what was read in place counts as the memory of
 * the server, whoever owns it in truth, and its size is that of the store.
 */
export const mappedBytes = {
  /** For all that is done: writers look up what they replace, lists and the feed walk along. */
  usual: 96 * 1024 * 1024,
  /** For members that somebody asks for: as much as SQLite maps, let go of when nobody has asked for a while. */
  wide: 2 ** 31 - 65536,
  /** Of a file up to this size writers too have all mapped: they find what they replace in 1.9 µs in place of 2.7. */
  small: 256 * 1024 * 1024,
}

/** After so long without a read what is mapped is let go of. */
const idleMs = 10_000

/** Columns named as the domain names them, so that a row is a member as it comes. */
const memberColumns = `key, value, revision, created_at AS createdAtMs, clock, coalesce(node, '') AS node,
  expires_at AS expiresAtMs, coalesce(content_type, '${jsonContentType}') AS contentType, flags`
const keyColumns = memberColumns.replace('value,', "'' AS value,")
const feedColumns = memberColumns.replace(
  'key, value, revision, created_at',
  'f.key, m.value, f.revision, m.created_at',
)
const tombstoneColumns = "key, revision, ending AS cause, clock, coalesce(node, '') AS node"

/**
 * Reads inside one read transaction for a turn of the event loop: that makes a read two to four times as quick
 * (docs/design/engine-sqlite.md) and means that a turn sees one state of the tables.
 */
export function openReader(path: string, mapped: number): TableReader {
  const db = new Database(path, { readwrite: true })
  db.run('PRAGMA query_only = 1')
  waitForLocks(db)
  db.run(`PRAGMA mmap_size = ${mapped}`)
  db.run('PRAGMA cache_size = -4000')

  /** All of them are let go of at the end: one that is not keeps the file open. */
  const statements: { finalize(): void }[] = []
  function prepare<Row, Params extends SQLQueryBindings[]>(sql: string) {
    const statement = db.prepare<Row, Params>(sql)
    statements.push(statement)
    return statement
  }

  const begin = prepare<null, []>('BEGIN')
  const commit = prepare<null, []>('COMMIT')
  let held = false
  let isMapped = false
  let wasUsed = false

  function hold(): void {
    if (held) return
    begin.run()
    held = true
    wasUsed = true
    setImmediate(release)
  }

  const idleTimer = setInterval(() => {
    if (wasUsed) isMapped = true
    else if (isMapped) {
      release()
      db.run('PRAGMA mmap_size = 0')
      db.run(`PRAGMA mmap_size = ${mapped}`)
      isMapped = false
    }
    wasUsed = false
  }, idleMs)
  idleTimer.unref()

  function release(): void {
    if (!held) return
    held = false
    try {
      commit.run()
    } catch {
      // A read that met damage has said so; its transaction is over with that.
    }
  }

  const member = prepare<Member, [string, string]>(
    `SELECT ${memberColumns} FROM members WHERE collection = ? AND key = ?`,
  )
  const standing = prepare<Standing, [string, string]>(
    `SELECT revision, created_at AS createdAtMs, expires_at AS expiresAtMs,
      octet_length(key) + octet_length(value) AS bytes FROM members WHERE collection = ? AND key = ?`,
  )
  const tombstone = prepare<Tombstone, [string, string]>(
    `SELECT ${tombstoneColumns} FROM tombstones WHERE collection = ? AND key = ?`,
  )
  const memberOrigin = prepare<Origin, [string, string]>(
    "SELECT clock, coalesce(node, '') AS node FROM members WHERE collection = ? AND key = ?",
  )
  const tombstoneOrigin = prepare<Origin, [string, string]>(
    "SELECT clock, coalesce(node, '') AS node FROM tombstones WHERE collection = ? AND key = ?",
  )
  const feedSql = (where: string) => `
    SELECT f.collection, f.ending AS cause, ${feedColumns}
    FROM feed f LEFT JOIN members m ON f.ending IS NULL AND m.collection = f.collection AND m.key = f.key
    WHERE f.revision > ? AND f.revision < ? ${where} ORDER BY f.revision`
  const feed = prepare<FeedRow, [number, number]>(feedSql(''))
  const feedOf = prepare<FeedRow, [number, number, string]>(feedSql('AND f.collection = ?'))
  const feedBlocks = prepare<{ block: number }, [string, number, number]>(
    'SELECT block FROM feed_blocks WHERE collection = ? AND block >= ? ORDER BY block LIMIT ?',
  )
  const bytes = prepare<{ bytes: number }, []>(
    'SELECT page_count * page_size AS bytes FROM pragma_page_count, pragma_page_size',
  )
  const forgotten = prepare<{ value: number }, []>("SELECT value FROM meta WHERE name = 'forgotten_revision'")
  const oldestTombstone = prepare<{ clock: number }, []>(
    `SELECT clock FROM tombstones WHERE (collection, key) =
      (SELECT collection, key FROM feed WHERE ending IS NOT NULL ORDER BY revision LIMIT 1)`,
  )
  const expiring = prepare<ExpiringRef, [number, number, number]>(
    `SELECT collection, key, revision, expires_at AS expiresAtMs FROM
      (SELECT expires_at AS due, collection, key FROM expiries WHERE expires_at <= ?
        ORDER BY expires_at, collection, key LIMIT ? OFFSET ?)
      CROSS JOIN members USING (collection, key) ORDER BY due, collection, key`,
  )

  /** One statement for each shape of range, so that each is a plain walk along the primary key. */
  const scans = new Map<string, Statement<Member, string[]>>()
  function scanStatement(range: TableRange): Statement<Member, string[]> {
    const sql = `SELECT ${range.keysOnly ? keyColumns : memberColumns} FROM members WHERE collection = ?
      ${range.from === null ? '' : 'AND key >= ?'} ${range.to === null ? '' : 'AND key < ?'}
      ORDER BY key ${range.order === 'asc' ? 'ASC' : 'DESC'}`
    let statement = scans.get(sql)
    if (statement === undefined) {
      statement = prepare<Member, string[]>(sql)
      scans.set(sql, statement)
    }
    return statement
  }

  return {
    read(collection, key) {
      hold()
      return member.get(collection, key)
    },
    standing(collection, key) {
      hold()
      return standing.get(collection, key)
    },
    tombstone(collection, key) {
      hold()
      return tombstone.get(collection, key)
    },
    origin(collection, key) {
      hold()
      const ofMember = memberOrigin.get(collection, key)
      if (ofMember !== null) return { ...ofMember, isTombstone: false }
      const ofTombstone = tombstoneOrigin.get(collection, key)
      return ofTombstone === null ? null : { ...ofTombstone, isTombstone: true }
    },
    scan(range) {
      hold()
      const bounds = [range.from, range.to].filter((bound) => bound !== null)
      return scanStatement(range).iterate(range.collection, ...bounds)
    },
    feed(after, before) {
      hold()
      return feed.iterate(after, before)
    },
    feedOf(collection, after, before) {
      hold()
      return feedOf.iterate(after, before, collection)
    },
    feedBlocks(collection, from, limit) {
      hold()
      return feedBlocks.all(collection, from, limit).map(({ block }) => block)
    },
    forgotten() {
      hold()
      return forgotten.get()?.value ?? 0
    },
    oldestTombstone() {
      hold()
      return oldestTombstone.get()?.clock ?? null
    },
    expiring(atMs, limit, skip) {
      hold()
      return expiring.all(atMs, limit, skip)
    },
    bytes() {
      hold()
      return bytes.get()!.bytes
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
