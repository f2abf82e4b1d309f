import { rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Archive, MemberAt, VersionPage } from '../core/archive.ts'
import { KvistError } from '../core/errors.ts'
import { maxArchiveReads } from '../core/limits.ts'
import type { ReadJob, ReadResult } from './archive-reads-worker.ts'

/** Reads the archive of a running server, in a thread of its own: one read at a time, and few that wait. */
export interface ArchiveReader extends Archive {
  close(): void
}

/** `sync` archives all that is committed, so that a read sees it (`StoreArchive`). */
export function archiveReader(dir: string, sync: () => Promise<number | null>): ArchiveReader {
  const scratch = join(dir, 'unpacked')
  rmSync(scratch, { recursive: true, force: true })
  let worker: Worker | null = null
  let last: Promise<unknown> = Promise.resolve()
  let waiting = 0

  function run(job: ReadJob): Promise<ReadResult> {
    worker ??= new Worker(new URL('./archive-reads-worker.ts', import.meta.url).href)
    const own = worker
    return new Promise((resolve) => {
      own.onmessage = (event: MessageEvent<ReadResult>) => resolve(event.data)
      own.onerror = (event) => {
        if (worker === own) worker = null
        resolve({ ok: false, code: 'storage_failed', detail: event.message })
      }
      own.postMessage(job)
    })
  }

  async function read(job: Pick<ReadJob, 'ref' | 'ask'>): Promise<MemberAt | VersionPage> {
    if (waiting >= maxArchiveReads) {
      throw new KvistError('busy', `${maxArchiveReads} reads wait for the archive already`)
    }
    waiting++
    try {
      const result = last.then(async () => {
        const completeUntilMs = await sync()
        return run({ dir, scratch, completeUntilMs, ...job })
      })
      last = result.catch(() => {})
      const done = await result
      if (!done.ok) throw new KvistError(done.code, done.detail)
      return done.found
    } finally {
      waiting--
    }
  }

  return {
    at: async (ref, point) => (await read({ ref, ask: { at: point } })) as MemberAt,
    versions: async (ref, versions) => (await read({ ref, ask: { versions } })) as VersionPage,
    close() {
      worker?.terminate()
      rmSync(scratch, { recursive: true, force: true })
    },
  }
}
