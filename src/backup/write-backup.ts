import { open, rename, rm, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { syncPath } from '../engines/sqlite/wal/log-files.ts'
import type { Manifest } from './format.ts'
import { readPieces } from './frames.ts'

/** The name that a backup has until it is whole. */
export function partOf(path: string): string {
  return join(dirname(path), `.${basename(path)}.part`)
}

/**
 * Writes a backup to a file that gets its name only when `fill` has resolved and it is on disk; a file that was there is
 * replaced. On a failure nothing is left.
 */
export async function writeBackupFile<Result>(
  path: string,
  fill: (write: (chunk: Uint8Array) => Promise<void>) => Promise<Result>,
): Promise<Result> {
  if ((await stat(path).catch(() => null))?.isDirectory() === true)
    throw new Error(`${path} is a folder: name a file in it`)
  const part = partOf(path)
  try {
    const file = await open(part, 'w', 0o600)
    let result: Result
    try {
      result = await fill((chunk) => file.appendFile(chunk))
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(part, path)
    syncPath(dirname(path))
    return result
  } catch (error) {
    await rm(part, { force: true })
    throw error
  }
}

/** Passes on a backup that arrives in chunks, and verifies it. Throws RefusedBackup unless it arrived whole. */
export async function copyVerified(
  chunks: AsyncIterable<Uint8Array>,
  write: (chunk: Uint8Array, manifest: Manifest | null) => Promise<void>,
): Promise<Manifest> {
  let manifest: Manifest | null = null
  async function* copied(): AsyncGenerator<Uint8Array> {
    for await (const chunk of chunks) {
      await write(chunk, manifest)
      yield chunk
    }
  }
  for await (const piece of readPieces(copied())) if (piece.is === 'manifest') manifest = piece.manifest
  return manifest!
}
