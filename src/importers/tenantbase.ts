import type { Database } from 'bun:sqlite'
import { statSync } from 'node:fs'
import { countedBatches } from './counted.ts'
import { jsonValue, plainValue, type SourceEntry, SourceError } from './entry.ts'
import { identityOf } from './files.ts'
import type { Importer } from './importer.ts'
import { SeenKeys, withDuplicates } from './seen-keys.ts'
import { columnsOf, openSqlite, readSqlite } from './sqlite.ts'

/**
 * The SQLite database of TenantBase: `kvalue(id, key, value)`. It has a row for every `set-value`, so that of several
 * rows with one key the last is the value. Values are text, which the dialect stores as JSON strings.
 */
export const tenantbase: Importer = {
  operand: 'FILE',
  collection: 'cache',
  options: [],
  async open(path) {
    const stats = statSync(path)
    const database = openSqlite(path, 'TenantBase database')
    const columns = columnsOf(database, 'kvalue')
    if (!columns.includes('key') || !columns.includes('value')) {
      database.close()
      throw new SourceError(`${path} is no TenantBase database: it has no table kvalue with key and value`)
    }
    const total = readSqlite(path, () => database.query('SELECT count(*) FROM kvalue').values()[0]?.[0])
    let count = 0
    return {
      identity: identityOf(stats),
      total: Number(total),
      read: (cursor) =>
        countedBatches(
          groupsOf(database, path, (rows) => (count += rows)),
          cursor,
          () => count,
        ),
      close: () => database.close(),
    }
  },
}

interface Row {
  readonly row: number
  readonly key: unknown
  readonly value: unknown
}

const rowsInGroup = 500

function* groupsOf(
  database: Database,
  path: string,
  onRows: (count: number) => void,
): Generator<Iterable<SourceEntry>> {
  const seen = new SeenKeys()
  const query = database.query<Row, [number, number]>(
    'SELECT rowid AS row, key, value FROM kvalue WHERE rowid > ? ORDER BY rowid LIMIT ?',
  )
  let after = Number.MIN_SAFE_INTEGER
  for (;;) {
    const rows = readSqlite(path, () => query.all(after, rowsInGroup))
    if (rows.length === 0) return
    after = rows.at(-1)!.row
    onRows(rows.length)
    yield withDuplicates(rows.map(entryOf), seen)
  }
}

function entryOf({ key: given, value }: Row): SourceEntry {
  const key = String(given)
  if (typeof given !== 'string' && typeof given !== 'number')
    return { key, code: 'invalid_key', reason: 'the key is no text' }
  if (value instanceof Uint8Array) return { key, value: plainValue(value, false), expiresAtMs: null }
  return { key, value: jsonValue(JSON.stringify(value)), expiresAtMs: null }
}
