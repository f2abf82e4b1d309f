import type { BatchOperation, ExpiryFields } from 'kvist-client'
import { session } from '../api/session.svelte.ts'
import { saveFile } from '../transfer/save-file.ts'
import { formatCount } from '../ui/format.ts'
import { toasts } from '../ui/toasts.svelte.ts'
import { selectionOf } from './criteria.ts'
import type { ListView } from './view.svelte.ts'

/**
 * What is done with many members at once: one job at a time, which tells how far it is and which members failed, and can be
 * stopped. Members are deleted and touched each by itself: those that fail do not keep the others.
 */

export type BulkKind = 'delete' | 'touch' | 'export'

export interface Failure {
  readonly key: string
  readonly reason: string
}

const batchOperations = 200
/** Requests of an export of single members that are on their way together. */
const exportsAtOnce = 4

class Bulk {
  /** What a person is asked about, or what is being done. */
  kind: BulkKind | null = $state(null)
  state: 'asking' | 'running' | 'failed' = $state('asking')
  done: number = $state(0)
  /** Null where that is not known. */
  total: number | null = $state(null)
  failures: readonly Failure[] = $state.raw([])
  error: unknown = $state.raw(null)
  #abort = new AbortController()

  ask(kind: 'delete' | 'touch'): void {
    this.kind = kind
    this.state = 'asking'
    this.error = null
    this.failures = []
  }

  /** Closes the dialog, and stops what is running. */
  stop(): void {
    this.#abort.abort()
    this.kind = null
  }

  delete(collection: string, view: ListView): Promise<void> {
    return this.#perform('delete', view, (key) => ({ op: 'delete', collection, key }))
  }

  touch(collection: string, view: ListView, expiry: ExpiryFields): Promise<void> {
    return this.#perform('touch', view, (key) => ({ op: 'touch', collection, key, ...expiry }))
  }

  /** Deletes all that the list selects; rejects as the request does. */
  async deleteAll(collection: string, view: ListView): Promise<void> {
    const deleted = await session.kvist.collection(collection).drop(selectionOf(view.list.source.criteria))
    toasts.show(`Deleted ${formatCount(deleted, 'member')}`)
    view.selected.clear()
    this.kind = null
    await view.refresh()
  }

  /** Downloads the selected members as NDJSON, their values as they are stored. */
  async export(collection: string, view: ListView): Promise<void> {
    const keys = view.selected.isAll ? null : [...view.selected.keys]
    const signal = this.#start(
      'export',
      keys === null ? (view.list.isCounted ? view.list.total : null) : keys.length,
    )
    try {
      const parts =
        keys === null
          ? await this.#allLines(collection, view, signal)
          : await this.#linesOf(collection, keys, signal)
      if (signal.aborted) return
      saveFile(new Blob(parts, { type: 'application/x-ndjson' }), `${collection}.ndjson`)
      toasts.show(`Exported ${formatCount(this.done, 'member')}`)
      view.selected.clear()
      this.#finish()
    } catch (error) {
      this.#failed(error, signal)
    }
  }

  async #allLines(collection: string, view: ListView, signal: AbortSignal): Promise<BlobPart[]> {
    const selection = selectionOf(view.list.source.criteria)
    const lines = await session.kvist
      .collection(collection)
      .lines({ ...selection, include: 'values', signal })
    const parts: BlobPart[] = []
    for await (const chunk of lines) {
      this.done += chunk.reduce((count, byte) => (byte === 10 ? count + 1 : count), 0)
      // What is read is the browser's to keep, on disk if it is much.
      parts.push(new Blob([chunk.slice()]))
    }
    return parts
  }

  async #linesOf(collection: string, keys: readonly string[], signal: AbortSignal): Promise<BlobPart[]> {
    const parts: BlobPart[] = []
    for (let at = 0; at < keys.length && !signal.aborted; at += exportsAtOnce) {
      const some = keys.slice(at, at + exportsAtOnce)
      for (const [i, line] of (
        await Promise.all(some.map((key) => lineOf(collection, key, signal)))
      ).entries()) {
        if (line === null)
          this.failures = [...this.failures, { key: some[i]!, reason: 'It is not there any more' }]
        else {
          parts.push(line)
          this.done++
        }
      }
    }
    return parts
  }

  async #perform(
    kind: BulkKind,
    view: ListView,
    operationOn: (key: string) => BatchOperation,
  ): Promise<void> {
    const keys = [...view.selected.keys]
    const signal = this.#start(kind, keys.length)
    try {
      for (let at = 0; at < keys.length && !signal.aborted; at += batchOperations) {
        const some = keys.slice(at, at + batchOperations)
        const results = await session.kvist.batch(
          { atomic: false, operations: some.map(operationOn) },
          { signal },
        )
        const failed = results.flatMap(({ error, revision }, i) => {
          if (error !== undefined) return [{ key: some[i]!, reason: error.detail }]
          return kind === 'touch' && revision === 0
            ? [{ key: some[i]!, reason: 'It is not there any more' }]
            : []
        })
        this.failures = [...this.failures, ...failed]
        this.done += some.length
        for (const key of some)
          if (!failed.some((failure) => failure.key === key)) view.selected.keys.delete(key)
      }
      if (signal.aborted) return
      const done = keys.length - this.failures.length
      if (done > 0) toasts.show(`${kind === 'delete' ? 'Deleted' : 'Changed'} ${formatCount(done, 'member')}`)
      this.#finish()
    } catch (error) {
      this.#failed(error, signal)
    }
    await view.refresh()
  }

  #start(kind: BulkKind, total: number | null): AbortSignal {
    this.#abort.abort()
    this.#abort = new AbortController()
    this.kind = kind
    this.state = 'running'
    this.done = 0
    this.total = total
    this.failures = []
    this.error = null
    return this.#abort.signal
  }

  /** The dialog stays where some have failed. */
  #finish(): void {
    if (this.failures.length > 0) this.state = 'failed'
    else this.kind = null
  }

  #failed(error: unknown, signal: AbortSignal): void {
    if (signal.aborted) return
    session.noticed(error)
    this.error = error
    this.state = 'failed'
  }
}

async function lineOf(collection: string, key: string, signal: AbortSignal): Promise<Blob | null> {
  const options = { from: key, limit: 1, include: 'values', signal } as const
  const parts: BlobPart[] = []
  for await (const chunk of await session.kvist.collection(collection).lines(options))
    parts.push(chunk.slice())
  const line = new Blob(parts)
  const start = await line.slice(0, 4096).text()
  // Where the member is gone, the next one comes.
  return start.startsWith(`{"key":${JSON.stringify(key)},`) ? line : null
}

export const bulk = new Bulk()
