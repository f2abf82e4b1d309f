import { KvistError } from '../core/errors.ts'
import { formatTime } from '../core/time.ts'
import type { PinnedFacts, PinnedTables } from '../engines/sqlite/pin/pin-tables.ts'
import type { BackupJob, BackupReply } from './backup-worker.ts'
import { backupFormat, type CollectionCount, type Manifest, maxListedCollections } from './format.ts'

/** A backup that is being taken, in chunks of its file. */
export interface Backup {
  readonly manifest: Manifest
  /**
   * Resolves with the next chunk, up to 4 MiB; null after the last one, when the backup is whole. One call at a time.
   * Rejects if the backup cannot be completed.
   */
  next(): Promise<Uint8Array | null>
  /** Ends the backup, whether it is complete or not. */
  stop(): void
}

export interface BackupSource {
  /** Pins the tables. Throws `busy` while another backup is being taken. */
  pin(): Promise<PinnedTables>
  readonly now: () => number
  /** The version of kvist. */
  readonly version: string
  /** Leaves most of the processor to others, and takes longer. */
  readonly isPaced?: boolean
}

/** A paced backup rests this many times as long as its thread has worked, so that it takes a sixth of a processor. */
const restShare = 5
const maxRestMs = 250

/** Begins a backup of the store as it is now, with all that was acknowledged before. */
export async function takeBackup({ pin, now, version, isPaced = false }: BackupSource): Promise<Backup> {
  const tables = await pin()
  const manifest = manifestOf(tables.facts, now(), version)
  const worker = new Worker(new URL('./backup-worker.ts', import.meta.url).href, { smol: true })
  const job: BackupJob = { pages: tables.pages, manifest }
  worker.postMessage(job)
  /** The chunk that the thread makes while the one before it is being sent. */
  let ahead = request(worker)
  let hasEnded = false
  let endRest = () => {}

  /** Asks for the next chunk after a rest, which `stop` ends. */
  async function requestAfter(restMs: number): Promise<BackupReply> {
    if (restMs > 0)
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, restMs)
        endRest = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    return hasEnded ? { ok: false, detail: 'it was stopped' } : request(worker)
  }

  function stop(): void {
    if (hasEnded) return
    hasEnded = true
    endRest()
    // The thread may be reading the pages: they are released when it has replied, or will not.
    ahead.finally(() => {
      worker.terminate()
      tables.release()
    })
  }

  return {
    manifest,
    async next() {
      if (hasEnded) throw stopped()
      const reply = await ahead
      if (hasEnded) throw stopped()
      tables.check()
      if (!reply.ok) throw new KvistError('storage_failed', 'the backup cannot be read', {}, reply.detail)
      const restMs = isPaced ? Math.min(maxRestMs, restShare * reply.workedMs) : 0
      if (reply.chunk !== null) ahead = requestAfter(restMs)
      return reply.chunk
    },
    stop,
  }
}

function stopped(): KvistError {
  return new KvistError('closing', 'the backup was stopped')
}

/** Asks the thread for its next chunk. Resolves in any case. */
function request(worker: Worker): Promise<BackupReply> {
  return new Promise((resolve) => {
    worker.onmessage = (event: MessageEvent<BackupReply>) => resolve(event.data)
    worker.onerror = (event) => resolve({ ok: false, detail: event.message })
    worker.postMessage('next')
  })
}

function manifestOf(facts: PinnedFacts, takenAtMs: number, version: string): Manifest {
  const all: CollectionCount[] = [...facts.counts].map(([name, counts]) => ({ name, ...counts }))
  const sum = (countOf: (one: CollectionCount) => number) =>
    all.reduce((total, one) => total + countOf(one), 0)
  return {
    format: backupFormat,
    kvist: version,
    store_id: facts.storeId,
    node_id: facts.nodeId,
    revision: facts.revision,
    taken_at: formatTime(takenAtMs),
    tables: { format: facts.tableFormat, page_bytes: facts.pageBytes, pages: facts.pages },
    members: sum(({ members }) => members),
    tombstones: facts.tombstones,
    bytes: sum(({ bytes }) => bytes),
    collection_count: all.length,
    collections: all.slice(0, maxListedCollections),
  }
}
