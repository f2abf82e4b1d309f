import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { complain, explain } from './explain.ts'
import type { Progress } from './progress.ts'

/**
 * How far an import has come, in a file. Everything before that was acknowledged: a run that resumes there may store some
 * entries again, but loses none.
 */
export class ProgressFile<Saved> {
  /** What an earlier run of the same import saved; null to start at the beginning. */
  readonly found: Saved | null
  private readonly path: string | null
  private isSaved: boolean
  private canSave = true

  /** `parse` returns null for what is not whole, or of another import; `path` is null for an import that cannot resume. */
  constructor(path: string | null, restart: boolean, parse: (found: unknown) => Saved | null) {
    this.path = path
    this.found = path === null || restart ? null : load(path, parse)
    this.isSaved = this.found !== null
  }

  /** Whether the same command resumes where this one ends. */
  get resumes(): boolean {
    return this.isSaved
  }

  /** Replaces the file in one step, so that it is whole whenever the program ends. Where it cannot, the import goes on. */
  save(saved: Saved, progress: Progress): void {
    if (this.path === null || !this.canSave) return
    try {
      writeFileSync(`${this.path}.new`, `${JSON.stringify(saved)}\n`)
      renameSync(`${this.path}.new`, this.path)
      this.isSaved = true
    } catch (error) {
      const start = this.isSaved ? 'where it was saved last' : 'at the beginning'
      progress.complain(`${explain(error).line}: an interrupted import will start ${start}`)
      this.canSave = false
    }
  }

  remove(): void {
    if (this.path !== null) rmSync(this.path, { force: true })
  }
}

export function progressPath(base: string): string {
  return `${base}.kvist-progress`
}

function load<Saved>(path: string, parse: (found: unknown) => Saved | null): Saved | null {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch {
    return null
  }
  let saved: Saved | null = null
  try {
    saved = parse(JSON.parse(text))
  } catch {
    // It is not JSON, or lacks a part.
  }
  if (saved === null) complain(`${path} is of another import: starting at the beginning`)
  return saved
}
