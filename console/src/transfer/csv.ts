/** CSV as in RFC 4180: fields in quotes may hold separators, line breaks and doubled quotes. */

export interface CsvRow {
  readonly fields: readonly string[]
  /** The line that it begins in, from 1 on. */
  readonly line: number
}

/** Reads rows as the text of a file arrives. */
export class CsvReader {
  private readonly separator: string
  private field = ''
  private fields: string[] = []
  private isQuoted = false
  /** Behind the closing quote of a field, or one of two. */
  private isAfterQuote = false
  private isEmptyRow = true
  private wasReturn = false
  private line = 1
  private rowLine = 1

  constructor(separator: string) {
    this.separator = separator
  }

  /** Returns the rows that end in this text. Empty lines are none. */
  push(text: string): CsvRow[] {
    const rows: CsvRow[] = []
    for (const char of text) {
      if (char === '\n') this.line++
      if (char === '\n' && this.wasReturn && !this.isQuoted) {
        this.wasReturn = false
        this.rowLine = this.line
        continue
      }
      this.wasReturn = char === '\r' && !(this.isQuoted && !this.isAfterQuote)
      this.take(char, rows)
    }
    return rows
  }

  /** Returns the last row, if the text does not end with a line break. Throws if a quote is not closed. */
  finish(): CsvRow[] {
    if (this.isQuoted && !this.isAfterQuote)
      throw new Error(`the quotes of line ${this.rowLine} are not closed`)
    const rows: CsvRow[] = []
    this.endRow(rows)
    return rows
  }

  private take(char: string, rows: CsvRow[]): void {
    if (this.isQuoted && !this.isAfterQuote) {
      if (char === '"') this.isAfterQuote = true
      else this.field += char
      return
    }
    if (char === '"' && this.isAfterQuote) {
      this.field += char
      this.isAfterQuote = false
    } else if (char === '"' && this.field === '') {
      this.isQuoted = true
      this.isEmptyRow = false
    } else if (char === this.separator) this.endField()
    else if (char === '\n' || char === '\r') this.endRow(rows)
    else if (char !== '\ufeff') {
      this.field += char
      this.isEmptyRow = false
    }
  }

  private endField(): void {
    this.fields.push(this.field)
    this.field = ''
    this.isQuoted = false
    this.isAfterQuote = false
    this.isEmptyRow = false
  }

  private endRow(rows: CsvRow[]): void {
    const isEmpty = this.isEmptyRow
    this.endField()
    if (!isEmpty) rows.push({ fields: this.fields, line: this.rowLine })
    this.fields = []
    this.isEmptyRow = true
    this.rowLine = this.line
  }
}

const jsonNumber = /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/

/** Returns the JSON of a field: a text, or with `infer` also numbers as they are written, booleans, and null for nothing. */
export function jsonOfField(field: string, infer: boolean): string {
  if (infer && field === '') return 'null'
  if (infer && (field === 'true' || field === 'false' || jsonNumber.test(field))) return field
  return JSON.stringify(field)
}

/** Writes a field of a row. */
export function csvField(text: string): string {
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}
