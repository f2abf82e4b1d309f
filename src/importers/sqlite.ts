import { Database } from 'bun:sqlite'
import { SourceError } from './entry.ts'

/** Opens a database for reading. Throws a `SourceError` if the file is none. */
export function openSqlite(path: string, what: string): Database {
  let database: Database | null = null
  try {
    database = new Database(path, { readonly: true })
    database.query('SELECT count(*) FROM sqlite_master').get()
    return database
  } catch (error) {
    database?.close()
    throw new SourceError(`${path} is no ${what}: ${messageOf(error)}`)
  }
}

/** Runs a query; a file that is damaged throws a `SourceError`. */
export function readSqlite<T>(path: string, read: () => T): T {
  try {
    return read()
  } catch (error) {
    throw new SourceError(`${path} is damaged: ${messageOf(error)}`)
  }
}

export function columnsOf(database: Database, table: string): string[] {
  return database
    .query<{ name: string }, [string]>('SELECT name FROM pragma_table_info(?)')
    .all(table)
    .map(({ name }) => name.toLowerCase())
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
