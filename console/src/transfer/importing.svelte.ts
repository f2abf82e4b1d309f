import type { ImportSummary } from 'kvist-client'
import { session } from '../api/session.svelte.ts'
import { errorOf, requestCollection } from './request.ts'
import { LineSource, type SourceLine, type SourceOptions } from './source.ts'

/** A line that is not stored, which a person can mend and send again. */
export class Rejected {
  readonly line: number
  text: string = $state('')
  reason: string = $state('')

  constructor(line: number, text: string, reason: string) {
    this.line = line
    this.text = text
    this.reason = reason
  }
}

/** Lines of one request: few enough that a progress bar moves, enough that requests cost little. */
const chunkLines = 2000
const chunkChars = 1024 * 1024
/** Rejected lines that are kept to be mended; the others are counted. */
const maxRejected = 500
const maxTries = 6
const firstPauseMs = 500

type State = 'running' | 'done' | 'cancelled' | 'failed'

/** One import of a file into a collection. */
export class Importing {
  readonly name: string
  readonly collection: string
  readonly bytes: number
  state: State = $state('running')
  /** Of the file, as far as it is stored or rejected. */
  readBytes = $state(0)
  stored = $state(0)
  rejected: readonly Rejected[] = $state.raw([])
  /** Rejected lines that are not kept. */
  unnamed = $state(0)
  error: unknown = $state.raw(null)
  readonly #abort = new AbortController()

  constructor(name: string, bytes: number, collection: string) {
    this.name = name
    this.bytes = bytes
    this.collection = collection
  }

  cancel(): void {
    this.#abort.abort()
  }

  /** Reads and sends the file. Rejects with nothing: the state tells. */
  async run(file: Blob, options: SourceOptions): Promise<void> {
    try {
      await this.#sendAll(file, new LineSource(options))
      this.readBytes = this.bytes
      this.state = 'done'
    } catch (error) {
      this.state = this.#abort.signal.aborted ? 'cancelled' : 'failed'
      if (this.state === 'failed') this.error = error
      session.noticed(error)
    }
  }

  /** Sends rejected lines again as they are written now; those that are refused again stay. */
  async retry(lines: readonly Rejected[]): Promise<void> {
    const refused = await this.#send(
      lines.map(({ line, text }) => ({ line, text: oneLine(text), problem: null })),
    )
    const reasons = new Map(refused.map((one) => [one.line, one.reason]))
    for (const one of lines) one.reason = reasons.get(one.line) ?? one.reason
    this.rejected = this.rejected.filter((one) => !lines.includes(one) || reasons.has(one.line))
  }

  /** Forgets a rejected line. */
  leaveOut(line: Rejected): void {
    this.rejected = this.rejected.filter((one) => one !== line)
  }

  async #sendAll(file: Blob, source: LineSource): Promise<void> {
    const decoder = new TextDecoder('utf-8', { fatal: true })
    let lines: SourceLine[] = []
    let chars = 0
    let read = 0
    const flush = async () => {
      this.#reject(await this.#send(lines))
      this.readBytes = read
      lines = []
      chars = 0
    }
    const take = async (found: readonly SourceLine[]) => {
      for (const one of found) {
        lines.push(one)
        chars += one.text.length
        if (lines.length >= chunkLines || chars >= chunkChars) await flush()
      }
    }
    const reader = file.stream().getReader()
    for (;;) {
      const { value, done } = await reader.read()
      this.#abort.signal.throwIfAborted()
      await take(source.push(textOf(decoder, value)))
      read += value?.length ?? 0
      if (done) break
    }
    await take(source.finish())
    if (lines.length > 0) await flush()
  }

  /** Sends lines, and returns those that are not stored. */
  async #send(lines: readonly SourceLine[]): Promise<Rejected[]> {
    const rejected = lines.flatMap(({ line, text, problem }) =>
      problem === null ? [] : [new Rejected(line, text, problem)],
    )
    const sent = lines.filter(({ problem }) => problem === null)
    if (sent.length === 0) return rejected
    const summary = await this.#post(sent.map(({ text }) => text).join('\n'))
    this.stored += summary.stored
    this.unnamed += summary.failed_more ?? 0
    for (const { line, detail } of summary.failed) {
      const failed = sent[line - 1]
      if (failed !== undefined) rejected.push(new Rejected(failed.line, failed.text, detail))
    }
    return rejected
  }

  #reject(rejected: readonly Rejected[]): void {
    const kept = rejected.slice(0, maxRejected - this.rejected.length)
    if (kept.length > 0) this.rejected = [...this.rejected, ...kept]
    this.unnamed += rejected.length - kept.length
  }

  /** A server that is busy or restarts is asked again: what is stored twice is the same. */
  async #post(body: string): Promise<ImportSummary> {
    for (let tries = 1, pauseMs = firstPauseMs; ; tries++, pauseMs *= 2) {
      const summary = await this.#request(body).catch((error: unknown) => {
        if (this.#abort.signal.aborted || tries === maxTries) throw error
        return null
      })
      if (summary !== null) return summary
      await pause(pauseMs, this.#abort.signal)
    }
  }

  /** Null where it is worth another try. */
  async #request(body: string): Promise<ImportSummary | null> {
    const response = await requestCollection(this.collection, {
      method: 'POST',
      headers: { 'Content-Type': 'application/x-ndjson' },
      body,
      signal: this.#abort.signal,
    })
    if (response.ok) return await response.json()
    if (response.status === 503 || response.status === 429) return null
    throw await errorOf(response)
  }
}

function textOf(decoder: TextDecoder, bytes: Uint8Array | undefined): string {
  try {
    return bytes === undefined ? decoder.decode() : decoder.decode(bytes, { stream: true })
  } catch {
    throw new Error('The file is not UTF-8. Convert it first, as iconv -f latin1 -t utf8 does')
  }
}

function oneLine(text: string): string {
  return text.replaceAll(/[\r\n]+/g, ' ').trim()
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms)
    signal.addEventListener('abort', () => {
      clearTimeout(timer)
      reject(signal.reason)
    })
  })
}
