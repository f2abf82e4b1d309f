import type { ImportItem, ImportSummary } from './types.ts'
import { lineOf } from './values.ts'

/**
 * An import is sent in chunks of whole lines, one request after the other: that takes no more memory than one chunk,
 * needs no runtime that streams the body of a request, and what a busy server refuses can be sent again.
 */
const chunkChars = 1024 * 1024
/** As many bad ones as the server names in one answer. */
const maxNamedFailures = 1000

/** While a chunk is on its way the next one is gathered. */
export async function importAll(
  items: Iterable<ImportItem<unknown>> | AsyncIterable<ImportItem<unknown>>,
  send: (lines: string) => Promise<ImportSummary>,
): Promise<ImportSummary> {
  const sum = new Sum()
  let sent: Promise<void> = Promise.resolve()
  let chunk = ''
  let lines = 0

  function sendChunk(): void {
    const before = sum.lines
    sum.lines += lines
    sent = send(chunk).then((summary) => sum.add(summary, before))
    sent.catch(() => {}) // heard of when it is awaited
    chunk = ''
    lines = 0
  }

  for await (const item of items) {
    chunk += lineOf(item)
    lines++
    if (chunk.length < chunkChars) continue
    await sent
    sendChunk()
  }
  await sent
  if (lines > 0) sendChunk()
  await sent
  return sum.summary()
}

class Sum {
  lines = 0
  #stored = 0
  #unnamed = 0
  readonly #failed: ImportSummary['failed'][number][] = []

  add({ stored, failed, failed_more: unnamed = 0 }: ImportSummary, linesBefore: number): void {
    const named = failed.slice(0, maxNamedFailures - this.#failed.length)
    this.#stored += stored
    this.#failed.push(...named.map((one) => ({ ...one, line: linesBefore + one.line })))
    this.#unnamed += unnamed + failed.length - named.length
  }

  summary(): ImportSummary {
    const more = this.#unnamed === 0 ? {} : { failed_more: this.#unnamed }
    return { stored: this.#stored, failed: this.#failed, ...more }
  }
}
