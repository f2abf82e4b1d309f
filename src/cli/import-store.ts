import { createReadStream } from 'node:fs'
import { pipeline } from 'node:stream'
import { createGunzip } from 'node:zlib'
import type { Kvist, ReplicationSummary } from '../../sdk/client.ts'
import { whileBusy } from './busy.ts'
import { complain } from './explain.ts'
import { type StoreEnd, storeHead } from './export-store.ts'
import { lineChunks } from './line-chunks.ts'
import { type Progress, startProgress } from './progress.ts'

/** Stores what `export --all` has written. A second run does no harm: what is stored already is not newer. */

const chunkBytes = 4 * 1024 * 1024
/** Longer than any line of an export. */
const maxLineBytes = 64 * 1024 * 1024
/** What the server takes the sender for: a node. */
const senderId = 'import'

interface Counts {
  readonly applied: number
  readonly superseded: number
  readonly failed: number
}

export async function importStore(
  kvist: Kvist,
  file: string,
  { quiet }: { quiet: boolean },
): Promise<number> {
  const progress = await startProgress('import', null, quiet)
  let done: Counts = { applied: 0, superseded: 0, failed: 0 }
  let isWhole = false
  try {
    for await (const { text, firstLine, end } of parts(file)) {
      if (text !== '') {
        const summary = await whileBusy(() => kvist.nodes.replicate(text, senderId))
        nameFailures(progress, file, firstLine, summary)
        done = sum(done, summary)
        progress.update(done.applied, done.applied)
      }
      isWhole = end !== null && end.lines === done.applied + done.superseded + done.failed
    }
  } finally {
    progress.stop()
  }
  const { applied, superseded, failed } = done
  if (!quiet) complain(`stored ${applied}, not newer than what is there ${superseded}, failed ${failed}`)
  if (!isWhole) complain(`${file} is not whole: what it has is stored, and what follows is missing`)
  return failed === 0 && isWhole ? 0 : 1
}

interface Part {
  /** Lines for the server. */
  readonly text: string
  /** The number of the first of them in the file. */
  readonly firstLine: number
  /** The last line of the file, if the part ends with it. */
  readonly end: StoreEnd | null
}

/** Yields the lines of a file without its first and its last one. Throws if it is no export of a store. */
async function* parts(file: string): AsyncGenerator<Part> {
  let line = 1
  for await (const chunk of lineChunks(blocksOf(file), chunkBytes, maxLineBytes)) {
    const whole = 'bytes' in chunk ? new TextDecoder().decode(chunk.bytes) : ''
    const head = `${storeHead}\n`
    if (line === 1 && !whole.startsWith(head))
      throw new Error(`${file} is no export of a whole store, as kvist export --all writes it`)
    if (!('bytes' in chunk)) throw new Error(`line ${line} of ${file} has ${chunk.overlongBytes} bytes`)
    const text = line === 1 ? whole.slice(head.length) : whole
    const lastLine = text.slice(text.lastIndexOf('\n', text.length - 2) + 1)
    const end = endOf(lastLine)
    yield {
      text: end === null ? text : text.slice(0, text.length - lastLine.length),
      firstLine: line === 1 ? 2 : line,
      end,
    }
    line += chunk.lines
  }
  if (line === 1) throw new Error(`${file} is empty`)
}

function endOf(line: string): StoreEnd | null {
  return /^\{"end":true,"lines":\d+\}\n$/.test(line) ? JSON.parse(line) : null
}

function blocksOf(file: string): AsyncIterable<Uint8Array> {
  if (file === '-') return process.stdin
  const input = createReadStream(file, { highWaterMark: 256 * 1024 })
  return file.endsWith('.gz') ? pipeline(input, createGunzip(), () => {}) : input // a failure is thrown where it is read
}

function nameFailures(
  progress: Progress,
  file: string,
  firstLine: number,
  { failed }: ReplicationSummary,
): void {
  for (const { line, code, detail } of failed)
    progress.complain(`${file}:${firstLine + line - 1}: ${code}: ${detail}`)
}

function sum(done: Counts, { applied, superseded, failed, failed_more = 0 }: ReplicationSummary): Counts {
  return {
    applied: done.applied + applied,
    superseded: done.superseded + superseded,
    failed: done.failed + failed.length + failed_more,
  }
}
