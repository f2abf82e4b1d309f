import { rmSync } from 'node:fs'
import { open, realpath, rename, rm, stat } from 'node:fs/promises'
import { pipeline, Readable } from 'node:stream'
import { createGzip } from 'node:zlib'
import { print } from './output.ts'
import { beforeSignalEnds } from './signals.ts'

/** Writes the file of an export: `-` is standard output, and one that ends with .gz is packed. */
export async function writeOutput(file: string, chunks: AsyncIterable<Uint8Array>): Promise<void> {
  if (file === '-') for await (const chunk of chunks) await print(chunk)
  else await write(file, file.endsWith('.gz') ? pack(chunks) : chunks)
}

function pack(chunks: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  return pipeline(Readable.from(chunks), createGzip(), () => {}) // a failure is thrown where it is read
}

/** Writes the chunks to the target: all or nothing if it is a file; a pipe or a device is written directly. */
async function write(target: string, chunks: AsyncIterable<Uint8Array>): Promise<void> {
  const found = await stat(target).catch(() => null)
  const isFile = found === null || found.isFile()
  const file = found?.isFile() ? await realpath(target) : target // the target of a link is replaced, not the link
  const part = isFile ? `${file}.part` : file
  const remove = { force: true } as const
  if (isFile) beforeSignalEnds(() => rmSync(part, remove))
  try {
    const handle = await open(part, 'w')
    try {
      for await (const chunk of chunks) await handle.appendFile(chunk)
      if (isFile) await handle.sync()
    } finally {
      await handle.close()
    }
    if (isFile) await rename(part, file)
  } catch (error) {
    if (isFile) await rm(part, remove)
    throw error
  }
}
