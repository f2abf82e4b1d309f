import { Database } from 'bun:sqlite'
import { basename } from 'node:path'
import { nodeIdLength, randomName } from '../../../core/origin.ts'
import { formatRefusal } from './format.ts'
import { collectionChecksum, metaChecksum } from './row-checksum.ts'
import { applicationId, createSchema, type TreeRoots, tableFormat, treeNames, writeMeta } from './schema.ts'
import { checkTables } from './table-check.ts'
import { isUpgradable, upgradeTables } from './upgrade.ts'

/** Opens the file of the tables, and reads the state that the engine starts from. */

export interface Meta {
  /** 16 random characters that identify the store; the log's segments carry them too. */
  readonly storeId: string
  readonly nodeId: string
  readonly flushedRevision: number
  /** The largest clock stamp up to the flushed revision. */
  readonly clock: number
  /** Revisions that were assigned and lost with a part of the log, in order. */
  readonly lostRevisions: readonly RevisionRange[]
}

/** From the first to the last, both included. */
export interface RevisionRange {
  readonly first: number
  readonly last: number
}

/** Thrown for a file that kvist cannot or must not open; the message says why in one line. */
export class RefusedFile extends Error {}

/** How long a statement waits for other connections to unlock the file. */
const lockWaitMs = 10_000

/** Sets how long all statements on a connection wait for locks, until the next call. */
export function waitForLocks(db: Database, ms = lockWaitMs): void {
  db.run(`PRAGMA busy_timeout = ${ms}`)
}

/** Opens the file for writing, and creates it if it is missing. Throws RefusedFile, and then has not changed the file. */
export function openForWriting(path: string): Database {
  let db: Database | undefined
  try {
    db = new Database(path, { create: true, readwrite: true })
    waitForLocks(db)
    const isNew = checkFile(db, path)
    db.run('PRAGMA page_size = 8192')
    db.run('PRAGMA journal_mode = WAL')
    db.run('PRAGMA synchronous = FULL')
    // The flusher checkpoints after each job.
    db.run('PRAGMA wal_autocheckpoint = 0')
    db.run('PRAGMA cache_size = -16000')
    if (isNew) createSchema(db)
    return db
  } catch (error) {
    db?.close()
    throw refusal(path, error)
  }
}

/** Returns true for an empty file. Throws RefusedFile, before anything is written, for one that is not kvist's. */
function checkFile(db: Database, path: string): boolean {
  const id = pragma(db, 'application_id')
  const format = pragma(db, 'user_version')
  if (id === 0 && format === 0 && tableCount(db) === 0) return true
  if (id !== applicationId) throw new RefusedFile(`${path} is an SQLite file, but not one of kvist's`)
  if (!isUpgradable(format)) {
    const unread = formatRefusal(path, format, tableFormat, neededBy(db))
    if (unread !== null) throw new RefusedFile(unread)
  }
  return false
}

/** The version of kvist that a file of a newer format asks for; null where it does not. */
function neededBy(db: Database): string | null {
  try {
    const [needed] = db.query("SELECT value FROM meta WHERE name = 'needs_kvist'").values()[0] ?? []
    return typeof needed === 'string' && /^[\w.-]{1,40}$/.test(needed) ? needed : null
  } catch {
    return null
  }
}

/** The message for the operator about a file that SQLite could not open or read. */
export function refusal(path: string, cause: unknown): RefusedFile {
  if (cause instanceof RefusedFile) return cause
  const code = sqliteCode(cause)
  if (code.startsWith('SQLITE_NOTADB') || code.startsWith('SQLITE_CORRUPT')) {
    return new RefusedFile(`${path} is damaged or not a kvist file: ${message(cause)}${adviceOn(path)}`, {
      cause,
    })
  }
  return new RefusedFile(`cannot open ${path}: ${message(cause)}`, { cause })
}

/** What to do about a damaged file of the tables. */
function adviceOn(path: string): string {
  return basename(path) === 'kvist.db'
    ? '; kvist check names the damage, kvist repair saves what can be read'
    : ''
}

/** The error code of SQLite or the system; empty for other errors. */
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

/** The size of the file's free pages in bytes: tables grow into them before the file does. */
export function freeBytes(db: Database): number {
  return pragma(db, 'freelist_count') * pragma(db, 'page_size')
}

function tableCount(db: Database): number {
  return Number(db.query('SELECT count(*) FROM sqlite_schema').values()[0]?.[0])
}

export interface Start {
  readonly meta: Meta
  readonly counts: Map<string, Counts>
  readonly roots: TreeRoots
  /** A description of the tables' damage; null for none, undefined for a file too large to check at the start. */
  readonly damage: string | null | undefined
  readonly freeBytes: number
}

/** A larger file is checked in the background after the start; a check takes 0.5 s per million members. */
const maxCheckedBytes = 256 * 1024 * 1024

export interface StartOptions {
  /** Receives lines for the operator. */
  readonly warn?: (line: string) => void
  readonly newNodeId?: boolean
}

/** Opens the file, upgrades it if it is older, and reads the state to start from. Throws RefusedFile. */
export function readStart(path: string, { warn = () => {}, newNodeId = false }: StartOptions = {}): Start {
  using db = openForWriting(path)
  try {
    upgradeTables(db, warn)
    if (newNodeId) writeMeta(db, 'node_id', randomName(nodeIdLength))
    const meta = readMeta(db)
    const isSmall = pragma(db, 'page_count') * pragma(db, 'page_size') <= maxCheckedBytes
    const damage = isSmall ? checkTables(db) : undefined
    return {
      meta,
      counts: readCounts(db),
      roots: readRoots(db),
      damage,
      freeBytes: freeBytes(db),
    }
  } catch (error) {
    throw refusal(path, error)
  }
}

/** Reads `meta`. Throws RefusedFile when a row is missing or its checksum does not match. */
export function readMeta(db: Database): Meta {
  const rows = db.query('SELECT name, value, checksum FROM meta').values() as [
    string,
    string | number,
    number,
  ][]
  const values = new Map<string, string | number>()
  for (const [name, value, checksum] of rows) {
    if (metaChecksum(name, value) !== checksum) throw damagedFile(db, `its ${name} is not what was written`)
    values.set(name, value)
  }
  const text = (name: string) => {
    const value = values.get(name)
    if (typeof value !== 'string') throw damagedFile(db, `its ${name} is missing`)
    return value
  }
  const number = (name: string) => {
    const value = values.get(name)
    if (typeof value !== 'number') throw damagedFile(db, `its ${name} is missing`)
    return value
  }
  return {
    storeId: text('store_id'),
    nodeId: text('node_id'),
    flushedRevision: number('flushed_revision'),
    clock: number('clock'),
    lostRevisions: JSON.parse(String(values.get('lost_revisions') ?? '[]')) as RevisionRange[],
  }
}

function damagedFile(db: Database, what: string): RefusedFile {
  return new RefusedFile(`${db.filename} is damaged: ${what}${adviceOn(db.filename)}`)
}

/** Records that these revisions are lost, so that none of them is assigned again. */
export function noteLostRevisions(path: string, { first, last }: RevisionRange): void {
  using db = openForWriting(path)
  const known = readMeta(db).lostRevisions.filter((range) => range.last < first)
  writeMeta(db, 'lost_revisions', JSON.stringify([...known, { first, last }]))
}

export interface Counts {
  members: number
  bytes: number
}

export function readCounts(db: Database): Map<string, Counts> {
  const rows = db.query('SELECT name, members, bytes, checksum FROM collections').values()
  const counts = new Map<string, Counts>()
  for (const [name, members, bytes, checksum] of rows as [string, number, number, number][]) {
    if (collectionChecksum(name, members, bytes) !== checksum)
      throw damagedFile(db, `what it counts of ${name} is not what was written`)
    counts.set(name, { members, bytes })
  }
  return counts
}

function readRoots(db: Database): TreeRoots {
  const rows = db.query('SELECT name, rootpage FROM sqlite_schema').values() as [string, number][]
  const pageOf = new Map(rows)
  const roots = treeNames.map((name) => [name, Number(pageOf.get(name))])
  return Object.fromEntries(roots) as TreeRoots
}
