import { closeSync, openSync } from 'node:fs'
import { dirname } from 'node:path'
import type { PageReader } from '../btree/pages.ts'
import type { TablePins } from '../pin/pin-tables.ts'
import { hasSpace } from '../wal/log-files.ts'
import type { Settling } from './checkpoint.ts'
import type { Job, JobResult } from './flush-worker.ts'
import { noRests, type Rests } from './rests.ts'
import { type FailedJob, newWorker, runJob } from './worker-jobs.ts'

export interface TablesThreadOptions {
  readonly dbPath: string
  readonly isMemoryScarce: boolean
  readonly pages: PageReader
  readonly pins: TablePins
  /** On a disk with less room each checkpoint is synced at once; a log of SQLite that is kept is not longer than this. */
  readonly reservedBytes: number
}

/**
 * The thread that writes the tables, one job at a time, and what its checkpoints leave behind (checkpoint.ts): the caller sends the
 * next job after the result of the last.
 */
export class TablesThread {
  private readonly options: TablesThreadOptions
  /** The thread starts with the first job, so that an idle server has none. */
  private worker: Worker | undefined
  /** The tables' file, open for syncs of it; closing it would release SQLite's locks on it. */
  private fd: number | null = null
  /** Pages were moved into the file, and syncing it failed: nothing may write to the tables before that. */
  private isUnsettled = false
  private hasLongLog = false

  constructor(options: TablesThreadOptions) {
    this.options = options
  }

  /** Whether SQLite's log has the length of the last job, though all of it is in the file. */
  get isLogKept(): boolean {
    return this.hasLongLog
  }

  /** Runs a job; after a sync of moved pages that failed, that is repeated first. */
  run(job: Job): Promise<JobResult> {
    return this.isUnsettled ? this.runSettled(job) : this.post(job)
  }

  /**
   * Checkpoints the pages of the last job into the file; page reads are paused only while those are moved. `hasCommits` says that
   * there is something to move. With rests the file is synced little by little, and the log may keep its length, as long as
   * the disk has room.
   */
  async checkpoint(hasCommits: boolean, rests: Rests | null = null): Promise<JobResult> {
    const { dbPath, pages, pins, reservedBytes } = this.options
    const pinned = pins.pinned()
    const isSettledLater = rests !== null && hasSpace(dirname(dbPath), reservedBytes)
    pages.pause()
    const moved = await this.run({ do: 'checkpoint', dbPath, pinned, hasCommits, isSettledLater })
    const isMoved = moved.ok && moved.isMoved
    pages.resume(isMoved)
    this.hasLongLog = false
    if (!isSettledLater) return moved
    const keptBytes = isMoved && pinned === null ? reservedBytes : 0
    const settled = await this.settle({ rests, isRepeated: !moved.ok, keptBytes })
    if (!isMoved) pages.resume()
    return settled
  }

  /** Checkpoints all, and reads what the tables hold then. */
  async readFacts(): Promise<JobResult> {
    const { dbPath, pages } = this.options
    pages.pause()
    const result = await this.run({ do: 'facts', dbPath })
    pages.resume()
    return result
  }

  /** Closes the tables and ends the thread. */
  async close(): Promise<void> {
    const { worker } = this
    this.worker = undefined
    if (this.isUnsettled) {
      // SQLite's log has what the file may lack, and closing the tables would remove it.
      worker?.unref()
    } else if (worker !== undefined) {
      await runJob(worker, { do: 'close' })
      worker.terminate()
    }
  }

  /** Closes the file. SQLite's connections must be closed before. */
  closeFile(): void {
    if (this.fd !== null) closeSync(this.fd)
    this.fd = null
  }

  private async runSettled(job: Job): Promise<JobResult> {
    const settled = await this.settle({ rests: noRests, isRepeated: true, keptBytes: 0 })
    return settled.ok ? this.post(job) : settled
  }

  private async settle(settling: Omit<Settling, 'fd'> & { readonly rests: Rests }): Promise<JobResult> {
    const { dbPath } = this.options
    const fd = this.openFile()
    const result = typeof fd === 'number' ? await this.post({ do: 'settle', dbPath, fd, ...settling }) : fd
    this.isUnsettled = !result.ok
    this.hasLongLog = result.ok && result.isLogKept
    return result
  }

  /** Returns the open file, or the failure where it cannot be opened: its folder may be gone. */
  private openFile(): number | FailedJob {
    try {
      this.fd ??= openSync(this.options.dbPath, 'r+')
      return this.fd
    } catch (error) {
      return { ok: false, full: false, detail: error instanceof Error ? error.message : String(error) }
    }
  }

  private post(job: Job): Promise<JobResult> {
    const worker = this.worker ?? newWorker(this.options.isMemoryScarce)
    this.worker = worker
    return runJob(worker, job, () => {
      // The thread has ended: the next job starts another.
      if (worker === this.worker) this.worker = undefined
    })
  }
}
