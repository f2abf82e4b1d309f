import { type CsvError, parse } from 'csv-parse'
import { maxValueBytes } from '../core/limits.ts'
import { fileSource } from './counted.ts'
import { jsonValue, type SourceEntry, SourceError } from './entry.ts'
import type { Importer } from './importer.ts'
import { SeenKeys, withDuplicates } from './seen-keys.ts'

/**
 * A CSV file with a header: each row becomes a JSON object with a name for each column. Fields are strings as they
 * stand; with `infer`, numbers, booleans and empty fields become JSON's.
 */
export const csv: Importer = {
  operand: 'FILE',
  collection: 'keys',
  options: ['key', 'infer', 'delimiter'],
  async open(path, { key, infer, delimiter }) {
    if (key === null) throw new SourceError('--from csv needs --key COLUMN, the column that holds the key')
    return fileSource(path, (blocks, name) =>
      entryGroups(parsedRows(blocks, name, delimiter), name, key, infer),
    )
  },
}

/** A row, with the number of the line that it ends in. */
interface Row {
  readonly record: readonly string[]
  readonly info: { readonly lines: number }
}

const rowsInGroup = 500

async function* parsedRows(
  blocks: AsyncIterable<Buffer>,
  name: string,
  delimiter: string,
): AsyncGenerator<readonly Row[]> {
  const parser = parse({
    bom: true,
    delimiter,
    info: true,
    relax_column_count: true,
    skip_empty_lines: true,
    max_record_size: 2 * maxValueBytes,
  })
  const feeding = feed(parser, blocks, name)
  feeding.catch((error) => parser.destroy(error))
  let group: Row[] = []
  try {
    for await (const row of parser as AsyncIterable<Row>) {
      group.push(row)
      if (group.length < rowsInGroup) continue
      yield group
      group = []
    }
  } catch (error) {
    if (group.length > 0) yield group
    throw isCsvError(error) ? new SourceError(`${name} is no CSV: ${error.message}`) : error
  }
  yield group
}

/** Passes the text of the file to the parser, which would replace bytes that are not UTF-8. */
async function feed(parser: ReturnType<typeof parse>, blocks: AsyncIterable<Buffer>, name: string) {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  try {
    for await (const block of blocks) {
      const text = decoder.decode(block, { stream: true })
      if (!parser.write(text)) await new Promise((resolve) => parser.once('drain', resolve))
    }
    parser.end(decoder.decode())
  } catch (error) {
    if (!(error instanceof TypeError)) throw error
    throw new SourceError(`${name} is not UTF-8: convert it first, as iconv -f latin1 -t utf8 does`)
  }
}

async function* entryGroups(
  groups: AsyncIterable<readonly Row[]>,
  name: string,
  key: string,
  infer: boolean,
): AsyncGenerator<Iterable<SourceEntry>> {
  let table: Table | null = null
  const seen = new SeenKeys()
  for await (const group of groups) {
    let rows = group
    if (table === null) {
      const [header, ...rest] = group
      if (header === undefined) throw new SourceError(`${name} is empty: it needs a header`)
      table = tableOf(header.record, name, key, infer)
      rows = rest
    }
    yield withDuplicates(entriesOf(rows, table), seen)
  }
}

/** What the header says. */
interface Table {
  readonly columns: number
  readonly keyColumn: number
  /** What stands before each field in the JSON of a row. */
  readonly beginnings: readonly string[]
  readonly infer: boolean
}

function tableOf(header: readonly string[], name: string, key: string, infer: boolean): Table {
  const keyColumn = header.indexOf(key)
  const shown = header.map((column) => JSON.stringify(column)).join(', ')
  if (keyColumn === -1)
    throw new SourceError(`${name} has no column ${JSON.stringify(key)}: it has ${shown.slice(0, 500)}`)
  const twice = header.find((column, index) => header.indexOf(column) !== index)
  if (twice !== undefined) throw new SourceError(`${name} has two columns ${JSON.stringify(twice)}`)
  const beginnings = header.map((column, index) => `${index === 0 ? '{' : ','}${JSON.stringify(column)}:`)
  return { columns: header.length, keyColumn, beginnings, infer }
}

function* entriesOf(rows: readonly Row[], table: Table): Generator<SourceEntry> {
  for (const { record, info } of rows) {
    if (record.length !== table.columns) {
      const reason = `it has ${record.length} fields, and the header ${table.columns}`
      yield { key: `the row that ends in line ${info.lines}`, code: 'damaged', reason }
      continue
    }
    yield { key: record[table.keyColumn]!, value: jsonValue(rowJson(record, table)), expiresAtMs: null }
  }
}

function rowJson(record: readonly string[], { beginnings, infer }: Table): string {
  let json = ''
  for (let i = 0; i < record.length; i++)
    json += beginnings[i]! + (infer ? inferred(record[i]!) : JSON.stringify(record[i]))
  return `${json}}`
}

const jsonNumber = /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/

/** Numbers are kept as they are written; `007` is no number of JSON, and so a text. */
function inferred(field: string): string {
  if (field === '') return 'null'
  if (field === 'true' || field === 'false' || jsonNumber.test(field)) return field
  return JSON.stringify(field)
}

function isCsvError(error: unknown): error is CsvError {
  return error instanceof Error && 'code' in error && String(error.code).startsWith('CSV_')
}
