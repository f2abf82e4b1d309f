import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import type { ImportCounts } from './import-report.ts'

/**
 * The progress of an import from another store, in a file. Everything before the cursor was acknowledged: a run that
 * resumes there may store some entries again, but loses none.
 */
export interface SourceCheckpoint {
  /** The import: source, target and options. A run of another one does not resume here. */
  readonly of: string
  readonly cursor: string
  readonly counts: ImportCounts
}

/** Returns the checkpoint of this import; null if there is none; 'other' if it is of another import or unreadable. */
export function loadSourceCheckpoint(path: string, of: string): SourceCheckpoint | 'other' | null {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch {
    return null
  }
  const found = parse(text)
  return found?.of === of ? found : 'other'
}

/** Replaces the checkpoint atomically, so that the file is complete whenever the program ends. */
export function saveSourceCheckpoint(path: string, checkpoint: SourceCheckpoint): void {
  writeFileSync(`${path}.new`, `${JSON.stringify(checkpoint)}\n`)
  renameSync(`${path}.new`, path)
}

export function removeSourceCheckpoint(path: string): void {
  rmSync(path, { force: true })
}

function parse(text: string): SourceCheckpoint | null {
  try {
    const found = JSON.parse(text)
    const { of, cursor, counts } = found
    const { stored, expired, incomplete, rejected } = counts
    const isWhole =
      [of, cursor].every((field) => typeof field === 'string') &&
      [stored, expired, incomplete, ...Object.values(rejected)].every((count) => Number.isInteger(count))
    return isWhole ? found : null
  } catch {
    return null
  }
}
