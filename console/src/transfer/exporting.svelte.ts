import { session } from '../api/session.svelte.ts'
import { csvField } from './csv.ts'
import { errorOf, requestCollection } from './request.ts'
import type { Kind } from './source.ts'

export interface ExportOptions {
  readonly kind: Kind
  readonly prefix: string
  readonly filter: string
}

export const types: Readonly<
  Record<Kind, { readonly mime: string; readonly title: string; readonly hint: string }>
> = {
  ndjson: {
    mime: 'application/x-ndjson',
    title: 'NDJSON',
    hint: 'One member a line, with its expiry and type: kvist takes it back as it was.',
  },
  json: {
    mime: 'application/json',
    title: 'JSON',
    hint: 'One array of the same members, for other programs.',
  },
  csv: {
    mime: 'text/csv',
    title: 'CSV',
    hint: 'A row a member, a column for its key and for each field of its JSON. Types and expiry are left out.',
  },
}

/** Parts of a file that are joined, so that a browser can move them to disk. */
const partChars = 4 * 1024 * 1024

type State = 'running' | 'done' | 'cancelled' | 'failed'

/** One export of a collection into a file of the browser. */
export class Exporting {
  readonly collection: string
  state: State = $state('running')
  members = $state(0)
  bytes = $state(0)
  error: unknown = $state.raw(null)
  readonly #abort = new AbortController()

  constructor(collection: string) {
    this.collection = collection
  }

  cancel(): void {
    this.#abort.abort()
  }

  /** Resolves with the file; with null if it was cancelled or has failed. */
  async run(options: ExportOptions): Promise<Blob | null> {
    try {
      const file = options.kind === 'csv' ? await this.#csv(options) : await this.#lines(options)
      this.state = 'done'
      return file
    } catch (error) {
      this.state = this.#abort.signal.aborted ? 'cancelled' : 'failed'
      if (this.state === 'failed') this.error = error
      session.noticed(error)
      return null
    }
  }

  async #lines(options: ExportOptions): Promise<Blob> {
    const isArray = options.kind === 'json'
    const file = new FileText(types[options.kind].mime)
    if (isArray) file.add('[\n')
    for await (const line of this.#read(options)) {
      if (isArray && this.members > 0) file.add(',\n')
      file.add(isArray ? line : `${line}\n`)
      this.members++
    }
    if (isArray) file.add('\n]\n')
    return file.blob()
  }

  /** Reads twice: the columns are known only when all members were seen. */
  async #csv(options: ExportOptions): Promise<Blob> {
    const columns = new Set<string>()
    for await (const line of this.#read(options)) for (const name of fieldsOf(line)) columns.add(name)
    this.bytes = 0
    const names = [...columns]
    const file = new FileText(types.csv.mime)
    file.add(
      `${['key', ...names.map((name) => (name === 'key' ? 'value.key' : name))].map(csvField).join(',')}\r\n`,
    )
    for await (const line of this.#read(options)) {
      file.add(`${rowOf(line, names).map(csvField).join(',')}\r\n`)
      this.members++
    }
    return file.blob()
  }

  /** Yields the members as lines. */
  async *#read({ prefix, filter }: ExportOptions): AsyncGenerator<string> {
    const query = new URLSearchParams({ include: 'values' })
    if (prefix !== '') query.set('prefix', prefix)
    if (filter !== '') query.set('filter', filter)
    const headers = { Accept: 'application/x-ndjson' }
    const response = await requestCollection(this.collection, { headers, query, signal: this.#abort.signal })
    if (!response.ok || response.body === null) throw await errorOf(response)
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader()
    let rest = ''
    for (;;) {
      const { value, done } = await reader.read()
      if (done) break
      this.bytes += value.length
      const lines = (rest + value).split('\n')
      rest = lines.pop()!
      yield* lines
    }
    if (rest !== '') throw new Error('The server broke off the export')
  }
}

class FileText {
  readonly #parts: Blob[] = []
  readonly #type: string
  #text = ''

  constructor(type: string) {
    this.#type = type
  }

  add(text: string): void {
    this.#text += text
    if (this.#text.length > partChars) this.#end()
  }

  blob(): Blob {
    this.#end()
    return new Blob(this.#parts, { type: this.#type })
  }

  #end(): void {
    this.#parts.push(new Blob([this.#text]))
    this.#text = ''
  }
}

/** The column of values that are no objects. */
const valueColumn = 'value'

function fieldsOf(line: string): readonly string[] {
  const { value } = JSON.parse(line)
  return isObject(value) ? Object.keys(value) : [valueColumn]
}

function rowOf(line: string, names: readonly string[]): readonly string[] {
  const member = JSON.parse(line)
  const value: unknown = member.value ?? member.value_text ?? member.value_base64 ?? null
  const cells = names.map((name) =>
    isObject(value)
      ? cellOf(Object.hasOwn(value, name) ? value[name] : undefined)
      : name === valueColumn
        ? cellOf(value)
        : '',
  )
  return [member.key, ...cells]
}

function cellOf(value: unknown): string {
  if (value === undefined || value === null) return ''
  return typeof value === 'string' ? value : JSON.stringify(value)
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
