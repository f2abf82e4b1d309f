import { resolve } from 'node:path'

/**
 * Returns a file that was imported `with { type: 'file' }`. The path is absolute in a checkout and in an executable; in the
 * package for npm it is relative to the modules, which are in one folder there.
 */
export function embeddedFile(path: string): Blob {
  return Bun.file(resolve(import.meta.dir, path))
}
