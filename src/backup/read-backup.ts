import { createReadStream } from 'node:fs'
import { open, rm } from 'node:fs/promises'
import { type Manifest, partBytes, RefusedBackup } from './format.ts'
import { readManifestOf, readPieces } from './frames.ts'

/** Reads backups in files. All of these throw RefusedBackup, with the file's name, for what is not a whole backup. */

/** Called with the bytes of the backup that are read so far. */
export type OnRead = (bytes: number) => void

/** Returns the manifest; what is behind it is not read. */
export function readManifest(path: string): Promise<Manifest> {
  return namingFile(path, () => readManifestOf(chunksOf(path)))
}

/** Reads and verifies all of a backup, and writes nothing. */
export function verifyBackup(path: string, onRead: OnRead = () => {}): Promise<Manifest> {
  return namingFile(path, () => readAll(chunksOf(path, onRead), async () => {}))
}

/** Writes the tables' file of a backup to a path where nothing is yet, and syncs it. Removes it on a failure. */
export function unpackTables(path: string, dbPath: string, onRead: OnRead = () => {}): Promise<Manifest> {
  return namingFile(path, async () => {
    const file = await open(dbPath, 'wx', 0o600)
    try {
      const manifest = await readAll(chunksOf(path, onRead), (part) => file.appendFile(part))
      await file.sync()
      await file.close()
      return manifest
    } catch (error) {
      await file.close()
      await rm(dbPath, { force: true })
      throw error
    }
  })
}

async function readAll(
  chunks: AsyncIterable<Uint8Array>,
  onPart: (part: Uint8Array) => Promise<void>,
): Promise<Manifest> {
  let manifest: Manifest | undefined
  for await (const piece of readPieces(chunks)) {
    if (piece.is === 'manifest') manifest = piece.manifest
    else await onPart(piece.bytes)
  }
  return manifest!
}

async function* chunksOf(path: string, onRead: OnRead = () => {}): AsyncGenerator<Uint8Array> {
  let bytes = 0
  for await (const chunk of createReadStream(path, { highWaterMark: partBytes / 4 })) {
    yield chunk
    bytes += chunk.length
    onRead(bytes)
  }
}

async function namingFile<T>(path: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read()
  } catch (error) {
    if (error instanceof RefusedBackup) throw new RefusedBackup(`${path}: ${error.message}`)
    throw error
  }
}
