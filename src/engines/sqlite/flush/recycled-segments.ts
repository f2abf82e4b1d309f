import { renameSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { makeFile } from '../wal/log-files.ts'
import type { Chunk } from '../wal/record.ts'

/** Memory and files of segments that the tables have, and files that were made ahead, for the next segments. */
export class RecycledSegments {
  private readonly dir: string
  private readonly segmentBytes: number
  /** This many files and chunks of memory are kept at most. */
  private readonly maxKept: number
  private readonly chunks: Chunk[] = []
  private readonly files: string[] = []
  private readonly discarding = new Set<Promise<void>>()
  private making: Promise<void> | null = null
  private filesMade = 0

  constructor(dir: string, segmentBytes: number, maxKept: number) {
    this.dir = dir
    this.segmentBytes = segmentBytes
    this.maxKept = maxKept
  }

  hasFile(): boolean {
    return this.files.length > 0
  }

  /** What there is, which is the caller's then; waits for a file that is being made. */
  async take(): Promise<{ chunk: Chunk | null; path: string | null }> {
    if (!this.hasFile()) await this.making
    return { chunk: this.chunks.pop() ?? null, path: this.files.pop() ?? null }
  }

  /** Only what is as large as segments are is of use again. */
  fits(chunk: Chunk): boolean {
    return chunk.bytes.length === this.segmentBytes
  }

  keepChunk(chunk: Chunk): void {
    if (this.fits(chunk) && this.chunks.length < this.maxKept) this.chunks.push(chunk)
  }

  /** Keeps a file of the log that nothing needs any more; false where there are enough, or it is gone, with its folder say. */
  keepFile(path: string): boolean {
    if (this.files.length >= this.maxKept) return false
    // By another name, so that it is no part of the log any more.
    const recycled = join(this.dir, `spare-${path.slice(-8)}`)
    try {
      renameSync(path, recycled)
    } catch {
      return false
    }
    this.files.push(recycled)
    return true
  }

  /** Has a file for the next segment made, unless there is one. */
  makeAhead(): void {
    if (this.making !== null || this.hasFile()) return
    const path = join(this.dir, `spare-ahead-${++this.filesMade}`)
    this.making = makeFile(path, this.segmentBytes)
      .then(() => {
        this.files.push(path)
      })
      // The caller that needs a file makes one then, and gets the error.
      .catch(() => {})
      .finally(() => {
        this.making = null
      })
  }

  /**
   * Removes a file off the event loop: on a disk with TRIM, removing 16 MiB took up to a second. A file that stays is
   * removed at the next start.
   */
  discard(path: string): void {
    const done = rm(path, { force: true })
      .catch(() => {})
      .finally(() => this.discarding.delete(done))
    this.discarding.add(done)
  }

  /** Discards all files; false where there were none. One that is being made is made, and then discarded. */
  async discardFiles(): Promise<boolean> {
    await this.making
    const files = this.files.splice(0)
    for (const path of files) this.discard(path)
    await Promise.all(this.discarding)
    return files.length > 0
  }

  /** Keeps no memory and one file. */
  trim(): void {
    this.chunks.length = 0
    for (const path of this.files.splice(1)) this.discard(path)
  }

  /** Keeps one file for the next start. */
  async close(): Promise<void> {
    await this.making
    this.trim()
    // The next to open the store may give one of these names to a file of its own.
    await Promise.all(this.discarding)
  }
}
