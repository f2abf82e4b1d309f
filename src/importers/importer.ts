import type { SourceEntry } from './entry.ts'

/** Reads another store, or a file, as entries for kvist. */
export interface Importer {
  /** The name of the operand in messages: `FILE`, `DIR`, `URL`. */
  readonly operand: string
  /** The collection to store in, unless another is named; null if the entries name theirs. */
  readonly collection: string | null
  /** The options that mean something here; others are refused. */
  readonly options: readonly ImporterOption[]
  /** Opens the source. Throws a `SourceError`, or an error of the file system, if it cannot be read. */
  open(location: string, options: ImporterOptions): Promise<Source>
}

export type ImporterOption = 'key' | 'infer' | 'delimiter' | 'json' | 'database' | 'encodeKeys' | 'login'

export interface ImporterOptions {
  /** The column or field that holds the key. */
  readonly key: string | null
  /** Convert fields of CSV that look like numbers, booleans or nothing. */
  readonly infer: boolean
  readonly delimiter: string
  /** Store values that are JSON as JSON rather than as text. */
  readonly json: boolean
  readonly database: number | null
  /** Encode keys that are not UTF-8. */
  readonly encodeKeys: boolean
  readonly password: string | null
  /** The authorities that are trusted, in PEM; null for the well-known ones. */
  readonly ca: string | null
  /** Called with what a person should know; a line. */
  readonly note: (line: string) => void
  /** The time of day. */
  readonly now: () => number
}

export interface Source {
  /** Changes when the source is no longer the one that an earlier run read; null if a run cannot be resumed. */
  readonly identity: string | null
  /** In the unit of `position`; null if unknown. */
  readonly total: number | null
  /** Yields the entries after a cursor, all of them for null, each batch with the cursor after it. */
  read(cursor: string | null): AsyncIterable<Batch>
  close?(): void
}

export interface Batch {
  readonly entries: readonly SourceEntry[]
  readonly cursor: string
  readonly position: number
}
