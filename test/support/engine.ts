import { Database } from 'bun:sqlite'
import { afterAll } from 'bun:test'
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { KvistError } from '../../src/core/errors.ts'
import { openSqlite, type SqliteEngine, type SqliteOptions } from '../../src/engines/sqlite/engine.ts'

export { until } from './until.ts'

/** What the tests of the SQLite engine share: folders, and what a `kill -9` would leave behind. */

const root = mkdtempSync(join(tmpdir(), 'kvist-test-engine-'))
afterAll(() => rmSync(root, { recursive: true, force: true }))

let folders = 0

/** The name of a folder that is not there yet, removed when the test file is done. */
export function newFolder(): string {
  return join(root, String(++folders))
}

export function openAt(dir: string, options: Partial<SqliteOptions> = {}): Promise<SqliteEngine> {
  return openSqlite({
    dir,
    durability: 'full',
    onCommit: () => {},
    segmentBytes: 16 * 1024,
    pages: 'checked',
    ...options,
  })
}

/** Opens the store in a folder, and closes it however the work with it ends. */
export async function withEngine<T>(
  dir: string,
  work: (engine: SqliteEngine) => Promise<T>,
  options: Partial<SqliteOptions> = {},
): Promise<T> {
  const engine = await openAt(dir, options)
  try {
    return await work(engine)
  } finally {
    await engine.close()
  }
}

/** A folder as a `kill -9` at this moment would leave it. Nothing may be applied meanwhile: see `holdTables`. */
export function killedCopy(dir: string): string {
  for (let tries = 1; ; tries++) {
    const copy = newFolder()
    // Another process copies: closing any file of a database releases the locks that this process has on it.
    const done = Bun.spawnSync(['cp', '-r', dir, copy])
    if (done.success) return copy
    // A spare file may be taken away, or into use, off the event loop.
    if (tries === 5) throw new Error(done.stderr.toString())
  }
}

/** As `killedCopy`, of a folder that no engine has open. */
export function copyOf(dir: string): string {
  const copy = newFolder()
  cpSync(dir, copy, { recursive: true })
  return copy
}

/** Keeps the tables from being written until `release`: segments pile up as behind a slow disk. */
export function holdTables(dir: string): { release(): void } {
  const db = new Database(join(dir, 'kvist.db'), { readwrite: true })
  db.run('PRAGMA busy_timeout = 10000')
  db.run('BEGIN IMMEDIATE')
  return {
    release() {
      db.run('ROLLBACK')
      db.close()
    },
  }
}

/** The revision up to which the tables in a folder have the log. */
export function flushedRevision(dir: string): number {
  const db = new Database(join(dir, 'kvist.db'), { readonly: true })
  try {
    return Number(db.query("SELECT value FROM meta WHERE name = 'flushed_revision'").values()[0]?.[0])
  } finally {
    db.close()
  }
}

/** What must be so of the tables whenever they are read, by plain SQL. */
export function faultsOfTables(dir: string): unknown[] {
  const db = new Database(join(dir, 'kvist.db'), { readonly: true })
  const rows = (sql: string) => db.query(sql).values()
  const same = (a: string, b: string) => [
    ...rows(`SELECT 'missing', * FROM (SELECT * FROM (${a}) EXCEPT SELECT * FROM (${b}))`),
    ...rows(`SELECT 'too many', * FROM (SELECT * FROM (${b}) EXCEPT SELECT * FROM (${a}))`),
  ]
  const states = `SELECT revision, collection, key, NULL AS cause FROM members
    UNION ALL SELECT revision, collection, key, cause FROM tombstones`
  try {
    return [
      ...rows('PRAGMA integrity_check').filter(([verdict]) => verdict !== 'ok'),
      ...rows("SELECT 'two states', key FROM members JOIN tombstones USING (collection, key)"),
      ...same(
        'SELECT name, members, bytes FROM collections',
        `
        SELECT collection, count(*), sum(octet_length(key) + coalesce(large_bytes, octet_length(value))) FROM members GROUP BY 1`,
      ),
      ...same(states, 'SELECT revision, collection, key, cause FROM feed'),
      ...same(
        'SELECT collection, revision / 4096, count(*) FROM feed GROUP BY 1, 2',
        'SELECT collection, block, changes FROM feed_blocks',
      ),
      ...same(
        'SELECT expires_at, collection, key FROM members WHERE expires_at IS NOT NULL',
        'SELECT expires_at, collection, key FROM expiries',
      ),
      ...same(
        'SELECT revision, large_bytes FROM members WHERE large_bytes IS NOT NULL',
        'SELECT id / 1024, sum(length(bytes)) FROM value_pieces GROUP BY 1',
      ),
      ...rows("SELECT 'in two places', key FROM members WHERE large_bytes IS NOT NULL AND length(value) > 0"),
      ...rows(`SELECT 'newer than flushed', max(revision) AS newest FROM feed
        HAVING newest > (SELECT value FROM meta WHERE name = 'flushed_revision')`),
    ]
  } finally {
    db.close()
  }
}

export function logFiles(dir: string): string[] {
  return readdirSync(dir)
    .filter((name) => name.startsWith('log-'))
    .toSorted()
    .map((name) => join(dir, name))
}

/** The bytes of the files that hold data, by name. */
export function dataOf(dir: string): Map<string, string> {
  const names = readdirSync(dir).filter((name) => name === 'kvist.db' || name.startsWith('log-'))
  return new Map(names.toSorted().map((name) => [name, Bun.hash(readFileSync(join(dir, name))).toString()]))
}

export function isThere(dir: string, name: string): boolean {
  return existsSync(join(dir, name))
}

/** What a promise was rejected with; fails when it was not, or not with a KvistError. */
export async function faultOf(promise: Promise<unknown>): Promise<KvistError> {
  try {
    await promise
  } catch (error) {
    if (error instanceof KvistError) return error
    throw error
  }
  throw new Error('it was done')
}
