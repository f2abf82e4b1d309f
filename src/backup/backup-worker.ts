import { setPriority } from 'node:os'
import { donePages, type PinnedPages, readPages } from '../engines/sqlite/pin/pinned-pages.ts'
import { monotonicMs } from '../runtime/clock.ts'
import { encoder, type Manifest, partBytes } from './format.ts'
import { freePages } from './free-pages.ts'

/**
 * The thread that reads, compresses and encodes a backup, so that the server's thread only sends it. It makes one chunk
 * for each message that it gets.
 */
declare const self: Worker

export interface BackupJob {
  readonly pages: PinnedPages
  readonly manifest: Manifest
}

/** `chunk` is null after the last one; `workedMs` is how long the thread took for it. */
export type BackupReply =
  | { readonly ok: true; readonly chunk: Uint8Array | null; readonly workedMs: number }
  | { readonly ok: false; readonly detail: string }

/** zstd's level: 3 makes JSON 13 percent smaller than 1, in twice the time. */
const level = 1

function* chunksOf({ pages: pinned, manifest }: BackupJob): Generator<Uint8Array[]> {
  const { pageBytes, pages } = pinned
  const encoded = encoder()
  yield encoded.head(manifest)
  const page = new Uint8Array(pageBytes)
  const free = freePages(pageBytes, pages, (number) => {
    readPages(pinned, number, page)
    return page
  })
  const buffer = new Uint8Array(partBytes)
  const pagesOfPart = partBytes / pageBytes
  for (let from = 0; from < pages; from += pagesOfPart) {
    const count = Math.min(pagesOfPart, pages - from)
    const raw = buffer.subarray(0, count * pageBytes)
    readPages(pinned, from, raw)
    donePages(pinned, from + count)
    for (let i = 0; i < count; i++) if (free.has(from + i)) raw.fill(0, i * pageBytes, (i + 1) * pageBytes)
    yield encoded.part(raw, Bun.zstdCompressSync(raw, { level }))
  }
  yield encoded.tail()
}

/** Gives this thread less time than the server's while both want to run. */
function yieldToOthers(): void {
  try {
    setPriority(0, niceness)
  } catch {
    // The backup is only less considerate.
  }
}

/** A thread of this niceness gets about a twenty-eighth of a processor that another one wants too. */
const niceness = 15

let chunks: Generator<Uint8Array[]> | undefined

self.onmessage = (event: MessageEvent<BackupJob | 'next'>) => {
  if (event.data !== 'next') {
    yieldToOthers()
    chunks = chunksOf(event.data)
    return
  }
  reply()
}

function reply(): void {
  const startedMs = monotonicMs()
  try {
    const next = chunks!.next()
    const chunk = next.done === true ? null : new Uint8Array(Buffer.concat(next.value))
    const message: BackupReply = { ok: true, chunk, workedMs: monotonicMs() - startedMs }
    self.postMessage(message, { transfer: chunk === null ? [] : [chunk.buffer] })
  } catch (error) {
    const message: BackupReply = { ok: false, detail: error instanceof Error ? error.message : String(error) }
    self.postMessage(message)
  }
}
