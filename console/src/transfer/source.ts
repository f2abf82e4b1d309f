import { CsvReader, type CsvRow, jsonOfField } from './csv.ts'
import { JsonSplitter } from './json-splitter.ts'

/** Files as lines of an import: pure, but for the reading of the file. */

export const kinds = ['ndjson', 'json', 'csv'] as const
export type Kind = (typeof kinds)[number]

export interface SourceOptions {
  readonly kind: Kind
  /** The field or column that holds the key; empty where each line or element has its `key` and `value`. */
  readonly keyField: string
  /** Of CSV. */
  readonly separator: string
  /** Numbers and booleans of CSV become those of JSON. */
  readonly infer: boolean
}

/** A line of an import, or what could not become one. */
export interface SourceLine {
  /** Where it stands in the file: a line, or the number of an element. */
  readonly line: number
  readonly text: string
  /** Why it cannot be sent as it is; null if it can. */
  readonly problem: string | null
}

/** Returns what kind of file it is, by its name or else its beginning. */
export function kindOf(name: string, beginning: string): Kind {
  if (/\.csv$|\.tsv$/i.test(name)) return 'csv'
  if (/\.(ndjson|jsonl)$/i.test(name)) return 'ndjson'
  const text = beginning.replace(/^\ufeff/, '').trimStart()
  if (text.startsWith('[')) return 'json'
  if (!text.startsWith('{')) return 'csv'
  const [first = '', second = ''] = text.split('\n', 2)
  return isJson(first) && second.trim() !== '' ? 'ndjson' : 'json'
}

/** The columns of a CSV, the fields of the first element or line; to choose the key from. */
export function fieldsOf(kind: Kind, separator: string, beginning: string): readonly string[] {
  try {
    if (kind === 'csv') return new CsvReader(separator).push(`${beginning}\n`)[0]?.fields ?? []
    const splitter = new JsonSplitter()
    const first = kind === 'ndjson' ? beginning.split('\n', 1)[0]! : splitter.push(beginning)[0]?.text
    if (kind === 'json' && splitter.isArray === false) return []
    const value: unknown = JSON.parse(first ?? 'null')
    return typeof value === 'object' && value !== null ? Object.keys(value) : []
  } catch {
    return []
  }
}

/** Returns the separator that the first line of a CSV has most of. */
export function separatorOf(beginning: string): string {
  const [first = ''] = beginning.split('\n', 1)
  const candidates = [',', ';', '\t', '|'] as const
  const counts = candidates.map((one) => first.split(one).length)
  return candidates[counts.indexOf(Math.max(...counts))]!
}

/** Reads the text of a file into lines, a block at a time. Throws for what is not of its kind. */
export class LineSource {
  private readonly options: SourceOptions
  private readonly splitter = new JsonSplitter()
  private readonly csv: CsvReader
  private columns: readonly string[] | null = null
  private rest = ''
  private line = 0

  constructor(options: SourceOptions) {
    this.options = options
    this.csv = new CsvReader(options.separator)
  }

  push(text: string): SourceLine[] {
    switch (this.options.kind) {
      case 'ndjson':
        return this.linesIn(text)
      case 'json':
        return this.splitter.push(text).map(({ name, text }) => this.partLine(name, text))
      case 'csv':
        return this.rowLines(this.csv.push(text))
    }
  }

  finish(): SourceLine[] {
    switch (this.options.kind) {
      case 'ndjson':
        return this.linesIn('\n')
      case 'json':
        this.splitter.finish()
        return []
      case 'csv': {
        const lines = this.rowLines(this.csv.finish())
        if (this.columns === null)
          throw new Error('the file is empty: a CSV begins with the names of its columns')
        return lines
      }
    }
  }

  private linesIn(text: string): SourceLine[] {
    const lines = (this.rest + text).split('\n')
    this.rest = lines.pop()!
    return lines.flatMap((line) => {
      this.line++
      const trimmed = line.replace(/^\ufeff/, '').trim()
      return trimmed === '' ? [] : [this.sourceLine(this.line, trimmed)]
    })
  }

  private partLine(name: string | null, text: string): SourceLine {
    this.line++
    // A part may have line breaks between its tokens, and only there.
    const flat = text.replaceAll(/[\r\n]+\s*/g, ' ')
    return name === null ? this.sourceLine(this.line, flat) : lineOf(this.line, JSON.stringify(name), flat)
  }

  /** A JSON text that is a line itself, or the value of one. */
  private sourceLine(line: number, text: string): SourceLine {
    const { keyField } = this.options
    if (keyField === '') return { line, text, problem: null }
    let value: unknown
    try {
      value = JSON.parse(text)
    } catch {
      return { line, text, problem: 'it is not JSON' }
    }
    const fields = typeof value === 'object' && value !== null ? new Map(Object.entries(value)) : null
    const key: unknown = fields?.get(keyField)
    if (typeof key !== 'string' && typeof key !== 'number') {
      return {
        line,
        text: `{"key":"","value":${text}}`,
        problem: `it has no text or number in "${keyField}"`,
      }
    }
    return lineOf(line, JSON.stringify(String(key)), text)
  }

  private rowLines(rows: readonly CsvRow[]): SourceLine[] {
    return rows.flatMap((row) => {
      if (this.columns !== null) return [this.rowLine(row, this.columns)]
      this.columns = row.fields
      if (!row.fields.includes(this.options.keyField))
        throw new Error(`there is no column "${this.options.keyField}": there are ${row.fields.join(', ')}`)
      return []
    })
  }

  private rowLine({ fields, line }: CsvRow, columns: readonly string[]): SourceLine {
    const { keyField, infer } = this.options
    const named = columns.map(
      (column, i) => `${JSON.stringify(column)}:${jsonOfField(fields[i] ?? '', infer)}`,
    )
    const made = lineOf(line, JSON.stringify(fields[columns.indexOf(keyField)] ?? ''), `{${named.join(',')}}`)
    if (fields.length === columns.length) return made
    return { ...made, problem: `it has ${fields.length} fields, and the first line ${columns.length}` }
  }
}

function lineOf(line: number, key: string, value: string): SourceLine {
  return { line, text: `{"key":${key},"value":${value}}`, problem: null }
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}
