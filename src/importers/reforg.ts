import { isUtf8 } from 'node:buffer'
import { existsSync, statSync } from 'node:fs'
import { countedBatches } from './counted.ts'
import { berkeleyPairs, isBerkeleyHash } from './dbm/berkeley.ts'
import { dumbPairs } from './dbm/dumb.ts'
import { gdbmPairs, isGdbm } from './dbm/gdbm.ts'
import { type DbmPair, RandomFile } from './dbm/random-file.ts'
import { jsonValue, keyText, plainValue, rejectedBinaryKey, type SourceEntry, SourceError } from './entry.ts'
import { identityOf } from './files.ts'
import type { Importer } from './importer.ts'
import { columnsOf, openSqlite, readSqlite } from './sqlite.ts'

/**
 * The file of Reforg, `store_perm`, which Python's dbm writes in the first format that the machine has: SQLite, GNU dbm,
 * Berkeley DB (ndbm) or the files of dbm.dumb. Values are text, which the dialect stores as JSON strings.
 */
export const reforg: Importer = {
  operand: 'FILE',
  collection: 'keys',
  options: ['encodeKeys'],
  async open(given, { encodeKeys }) {
    const { path, pairs } = openDbm(given)
    let count = 0
    function* groups(): Generator<Iterable<SourceEntry>> {
      for (const pair of pairs()) {
        count++
        yield [entryOf(pair, encodeKeys)]
      }
    }
    return {
      identity: identityOf(statSync(path)),
      total: null,
      read: (cursor) => countedBatches(groups(), cursor, () => count),
    }
  },
}

function entryOf([keyBytes, bytes]: DbmPair, encodeKeys: boolean): SourceEntry {
  const key = keyText(keyBytes, encodeKeys)
  if (key === null) return rejectedBinaryKey(keyBytes)
  if (!isUtf8(bytes)) return { key, value: plainValue(bytes, false), expiresAtMs: null }
  return { key, value: jsonValue(JSON.stringify(Buffer.from(bytes).toString())), expiresAtMs: null }
}

interface DbmFile {
  readonly path: string
  pairs(): Iterable<DbmPair>
}

/** Finds the file, whose name dbm may have given an ending, and its format. */
function openDbm(given: string): DbmFile {
  const base = given.replace(/\.(dir|dat|bak)$/, '')
  if (existsSync(`${base}.dir`) && existsSync(`${base}.dat`) && !existsSync(base)) {
    return { path: `${base}.dat`, pairs: () => dumbPairs(base) }
  }
  const path = !existsSync(given) && existsSync(`${given}.db`) ? `${given}.db` : given
  if (statSync(path).isDirectory()) throw new SourceError(`${path} is a folder, not a dbm file`)
  const file = new RandomFile(path)
  const head = file.head(64)
  if (isGdbm(head)) return { path, pairs: () => closing(file, gdbmPairs(file)) }
  if (isBerkeleyHash(head)) return { path, pairs: () => closing(file, berkeleyPairs(file)) }
  file.close()
  if (head.toString('latin1').startsWith('SQLite format 3\0')) return { path, pairs: () => sqlitePairs(path) }
  throw new SourceError(`${path} is in no dbm format that kvist reads: ${howToExport(given)}`)
}

/** Returns the advice for formats of other machines: the Python that wrote the file can read it. */
function howToExport(given: string): string {
  const code =
    'import dbm, json, sys; d = dbm.open(sys.argv[1]); print(json.dumps({k.decode(): d[k].decode() for k in d.keys()}))'
  return `export it with the Python that wrote it, python3 -c '${code}' ${given} > store.json, and take that with --from json`
}

function* closing(file: RandomFile, pairs: Iterable<DbmPair>): Generator<DbmPair> {
  try {
    yield* pairs
  } finally {
    file.close()
  }
}

const rowsInGroup = 500

function* sqlitePairs(path: string): Generator<DbmPair> {
  const database = openSqlite(path, 'dbm file')
  try {
    const columns = columnsOf(database, 'Dict')
    if (!columns.includes('key') || !columns.includes('value'))
      throw new SourceError(`${path} is an SQLite database, but not one of dbm: it has no table Dict`)
    const query = database.query<{ row: number; key: Uint8Array; value: Uint8Array }, [number, number]>(
      `SELECT rowid AS row, CAST(key AS BLOB) AS key, CAST(value AS BLOB) AS value
       FROM Dict WHERE rowid > ? ORDER BY rowid LIMIT ?`,
    )
    let after = 0
    for (;;) {
      const rows = readSqlite(path, () => query.all(after, rowsInGroup))
      if (rows.length === 0) return
      after = rows.at(-1)!.row
      for (const { key, value } of rows) yield [key, value]
    }
  } finally {
    database.close()
  }
}
