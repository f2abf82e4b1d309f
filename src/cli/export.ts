import { rmSync } from 'node:fs'
import { open, realpath, rename, rm, stat } from 'node:fs/promises'
import { pipeline, Readable } from 'node:stream'
import { createGzip } from 'node:zlib'
import type { Kvist } from '../../sdk/client.ts'
import { command } from './command.ts'
import { collectionOption, connect, connectionOptions, quietOption, selectionOptions } from './connection.ts'
import { complain } from './explain.ts'
import { print } from './output.ts'
import { type Progress, startProgress } from './progress.ts'
import { beforeSignalEnds } from './signals.ts'

export const exportCommand = command('export', {
  summary: 'Write the members of a collection to an NDJSON file',
  notes:
    'Each line is {"key": …, "value": …}, as kvist import takes them. FILE is replaced when the export is complete and ' +
    'left alone when it fails. A file that ends with .gz is packed.',
  operands: [{ name: 'FILE', help: 'the file; - is standard output' }],
  options: { collection: collectionOption, ...selectionOptions, quiet: quietOption, ...connectionOptions },
  async run(given, [file = '']) {
    const kvist = connect(given)
    const { prefix, filter, match, from, to, order } = given
    const isAll = [prefix, filter, match, from, to].every((condition) => condition === undefined)
    const total = isAll && process.stderr.isTTY ? await countMembers(kvist, given.collection) : null
    const selection = { prefix, filter, match, from, to, order, include: 'values' } as const
    const lines = await kvist.collection(given.collection).lines(selection)

    const progress = await startProgress('export', total, given.quiet)
    const count = { members: 0 }
    const counted = counting(lines, count, progress)
    try {
      if (file === '-') for await (const chunk of counted) await print(chunk)
      else await write(file, file.endsWith('.gz') ? pack(counted) : counted)
    } finally {
      progress.stop()
    }
    if (!given.quiet) complain(`exported ${count.members}`)
    return 0
  },
})

/** Returns the number of members; null if the token shows only a part of the collection. */
async function countMembers(kvist: Kvist, collection: string): Promise<number | null> {
  const { collections } = await kvist.collectionsPage({ prefix: collection, limit: 1 })
  return collections[0]?.name === collection ? collections[0].members : 0
}

async function* counting(
  chunks: AsyncIterable<Uint8Array>,
  count: { members: number },
  progress: Progress,
): AsyncGenerator<Uint8Array> {
  for await (const chunk of chunks) {
    for (let at = chunk.indexOf(10); at >= 0; at = chunk.indexOf(10, at + 1)) count.members++
    progress.update(count.members, count.members)
    yield chunk
  }
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
