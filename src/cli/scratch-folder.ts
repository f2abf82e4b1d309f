import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Makes a folder for what a command keeps on disk while it runs; the caller removes it. */
export function scratchFolder(): string {
  return mkdtempSync(join(tmpdir(), 'kvist-'))
}
