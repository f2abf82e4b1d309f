import { existsSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs'
import { rm, truncate } from 'node:fs/promises'
import { join } from 'node:path'
import type { RevisionRange } from '../table/table.ts'

/** A segment of the log that is not archived, or not wholly. */
export interface WaitingSegment {
  path: string
  readonly firstRevision: number
  /** Null while records are added to it. */
  lastRevision: number | null
  /** Where its last frame ends. */
  bytes: number
  /** It is flushed, and its file is kept for the archive alone. */
  isKept: boolean
}

const keptForm = /^unarchived-(\d{16})-(\d{16})$/

/**
 * The segments that are not archived, oldest first. Those that are flushed have another name in the data folder,
 * `unarchived-FIRST-LAST`, by their revisions, so that a start takes them neither for the log nor for files to use again.
 */
export class WaitingSegments {
  private readonly dir: string
  private readonly sources: WaitingSegment[] = []

  /** `sources` are those of the log; the kept ones of an earlier run are found in the folder. */
  constructor(dir: string, sources: readonly WaitingSegment[]) {
    this.dir = dir
    const all = [...listKept(dir), ...sources].sort((a, b) => a.firstRevision - b.firstRevision)
    this.sources.push(...all)
  }

  first(): WaitingSegment | undefined {
    return this.sources[0]
  }

  add(source: WaitingSegment): void {
    this.sources.push(source)
  }

  of(path: string): WaitingSegment | undefined {
    return this.sources.find((source) => source.path === path)
  }

  remove(path: string): void {
    const i = this.sources.findIndex((source) => source.path === path)
    if (i >= 0) this.sources.splice(i, 1)
  }

  /** Gives a flushed segment its other name, and the room behind its records back; false where its file is gone. */
  keep(source: WaitingSegment): boolean {
    const names = [source.firstRevision, source.lastRevision ?? source.firstRevision]
    const path = join(this.dir, `unarchived-${names.map((one) => String(one).padStart(16, '0')).join('-')}`)
    try {
      renameSync(source.path, path)
    } catch {
      this.remove(source.path)
      return false
    }
    source.path = path
    source.isKept = true
    // Off the event loop, because it can take long on a disk with TRIM.
    truncate(path, source.bytes).catch(() => {})
    return true
  }

  /** The first segment is archived. */
  archived(source: WaitingSegment): void {
    if (source.isKept) {
      this.remove(source.path)
      rm(source.path, { force: true }).catch(() => {})
    } else if (this.sources[0] === source) this.sources.shift()
  }

  keptSegments(): number {
    return this.sources.filter(({ isKept }) => isKept).length
  }

  keptBytes(): number {
    return this.sources.reduce((sum, { isKept, bytes }) => sum + (isKept ? bytes : 0), 0)
  }

  /**
   * Removes kept segments, oldest first, until no more than this many bytes and segments are kept. With `exceptFirst` the
   * first one stays: it is being archived. Returns the revisions that are lost; null for none.
   */
  dropBeyond(maxBytes: number, maxSegments: number, exceptFirst: boolean): RevisionRange | null {
    let bytes = this.keptBytes()
    let count = this.keptSegments()
    let first: number | null = null
    let last = 0
    const at = exceptFirst ? 1 : 0
    while (bytes > maxBytes || count > maxSegments) {
      const source = this.sources[at]
      if (source === undefined || !source.isKept) break
      this.sources.splice(at, 1)
      rmSync(source.path, { force: true })
      bytes -= source.bytes
      count--
      first ??= source.firstRevision
      last = source.lastRevision ?? source.firstRevision
    }
    return first === null ? null : { first, last }
  }
}

/** The segments that an earlier run kept for the archive. */
function listKept(dir: string): WaitingSegment[] {
  return readdirSync(dir).flatMap((name) => {
    const match = keptForm.exec(name)
    if (match === null) return []
    const path = join(dir, name)
    const bytes = statSync(path, { throwIfNoEntry: false })?.size ?? 0
    return [{ path, firstRevision: Number(match[1]), lastRevision: Number(match[2]), bytes, isKept: true }]
  })
}

/** Whether a data folder has segments that wait for an archive. */
export function hasKept(dir: string): boolean {
  return existsSync(dir) && readdirSync(dir).some((name) => keptForm.test(name))
}
