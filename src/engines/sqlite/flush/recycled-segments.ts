import { renameSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { makeFile } from '../wal/log-files.ts'
import type { Chunk } from '../wal/record.ts'

/** Keeps the memory and files of flushed segments, and files made ahead, for the next segments. */
export class RecycledSegments {
  private readonly dir: string
  private readonly segmentBytes: number
  /** The most files and the most chunks that are kept. */
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

  /** Hands a kept chunk and file to the caller, null for none; waits for a file that is being made. */
  async take(): Promise<{ chunk: Chunk | null; path: string | null }> {
    if (!this.hasFile()) await this.making
    return { chunk: this.chunks.pop() ?? null, path: this.files.pop() ?? null }
  }

  /** Whether a chunk has the size of a standard segment: only those can be reused. */
  fits(chunk: Chunk): boolean {
    return chunk.bytes.length === this.segmentBytes
  }

  keepChunk(chunk: Chunk): void {
    if (this.fits(chunk) && this.chunks.length < this.maxKept) this.chunks.push(chunk)
  }

  /** Keeps an unneeded file of the log; false where enough are kept, or the file is gone, for example with its folder. */
  keepFile(path: string): boolean {
    if (this.files.length >= this.maxKept) return false
    // Under another name, so that it is no longer part of the log.
    const recycled = join(this.dir, `spare-${path.slice(-8)}`)
    try {
      renameSync(path, recycled)
    } catch {
      return false
    }
    this.files.push(recycled)
    return true
  }

  /** Starts making a file for the next segment, unless one is kept or being made. */
  makeAhead(): void {
    if (this.making !== null || this.hasFile()) return
    const path = join(this.dir, `spare-ahead-${++this.filesMade}`)
    this.making = makeFile(path, this.segmentBytes)
      .then(() => {
        this.files.push(path)
      })
      // The next caller that needs a file makes one itself, and gets the error.
      .catch(() => {})
      .finally(() => {
        this.making = null
      })
  }

  /**
   * Removes a file off the event loop: on a disk with TRIM, removing 16 MiB took up to a second. A file that cannot be
   * removed is removed at the next start.
   */
  discard(path: string): void {
    const done = rm(path, { force: true })
      .catch(() => {})
      .finally(() => this.discarding.delete(done))
    this.discarding.add(done)
  }

  /** Waits for a file that is being made, then removes all kept files; false where there were none. */
  async discardFiles(): Promise<boolean> {
    await this.making
    const files = this.files.splice(0)
    for (const path of files) this.discard(path)
    await Promise.all(this.discarding)
    return files.length > 0
  }

  /** Releases all memory, and all files but one. */
  trim(): void {
    this.chunks.length = 0
    for (const path of this.files.splice(1)) this.discard(path)
  }

  /** Keeps one file for the next start. */
  async close(): Promise<void> {
    await this.making
    this.trim()
    // The next process that opens the store may reuse the names of these files, so their removal must be done.
    await Promise.all(this.discarding)
  }
}
