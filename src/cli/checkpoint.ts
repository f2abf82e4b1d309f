import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'

/**
 * The progress of an import, in a file beside the imported one. Everything before it was acknowledged: a run that
 * resumes there may store some lines again, but loses none.
 */
export interface Checkpoint {
  /** The target of the import. A run with another target or another file does not resume here. */
  readonly url: string
  readonly collection: string
  readonly sizeBytes: number
  readonly modifiedMs: number
  /** The offset of the first byte that was not sent, at the start of a line. */
  readonly offsetBytes: number
  readonly lines: number
  readonly stored: number
  readonly failed: number
}

const texts = ['url', 'collection'] as const
const numbers = ['sizeBytes', 'modifiedMs', 'offsetBytes', 'lines', 'stored', 'failed'] as const
const sameImport = ['url', 'collection', 'sizeBytes', 'modifiedMs'] as const

export function checkpointPath(file: string): string {
  return `${file}.kvist-progress`
}

/**
 * Returns the checkpoint of this import; null if there is none; 'other' if it is of another import or cannot be read.
 */
export function loadCheckpoint(path: string, start: Checkpoint): Checkpoint | 'other' | null {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch {
    return null
  }
  const found = parse(text)
  return found !== null && sameImport.every((name) => found[name] === start[name]) ? found : 'other'
}

/** Replaces the checkpoint atomically, so that the file is complete whenever the program ends. */
export function saveCheckpoint(path: string, checkpoint: Checkpoint): void {
  writeFileSync(`${path}.new`, `${JSON.stringify(checkpoint)}\n`)
  renameSync(`${path}.new`, path)
}

export function removeCheckpoint(path: string): void {
  rmSync(path, { force: true })
}

function parse(text: string): Checkpoint | null {
  try {
    const found = JSON.parse(text)
    const isWhole =
      texts.every((name) => typeof found?.[name] === 'string') &&
      numbers.every((name) => Number.isFinite(found?.[name]) && found[name] >= 0)
    return isWhole ? found : null
  } catch {
    return null
  }
}
