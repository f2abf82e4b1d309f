import { isRejected, type SourceEntry } from './entry.ts'
import { fileInput } from './files.ts'
import type { Batch, Source } from './importer.ts'

const batchEntries = 1000
const batchBytes = 1024 * 1024

/** Groups of entries: each group is read at once, because a promise costs more than an entry. */
export type EntryGroups = AsyncIterable<Iterable<SourceEntry>> | Iterable<Iterable<SourceEntry>>

/**
 * Yields the entries of a source that is always read from its beginning, as batches. The cursor is the number of
 * entries; those before it are read again, and left out.
 */
export async function* countedBatches(
  groups: EntryGroups,
  cursor: string | null,
  position: () => number,
): AsyncGenerator<Batch> {
  const skipped = cursor === null ? 0 : Number(cursor)
  let count = 0
  let entries: SourceEntry[] = []
  let bytes = 0
  for await (const group of groups) {
    for (const entry of group) {
      count++
      if (count <= skipped) continue
      entries.push(entry)
      bytes += isRejected(entry) ? 0 : entry.value.bytes
      if (entries.length < batchEntries && bytes < batchBytes) continue
      yield { entries, cursor: String(count), position: position() }
      entries = []
      bytes = 0
    }
  }
  if (entries.length > 0) yield { entries, cursor: String(count), position: position() }
}

/** Returns a file as a source that is always read from its beginning; `groupsOf` reads its blocks. */
export function fileSource(
  path: string,
  groupsOf: (blocks: AsyncIterable<Buffer>, name: string) => EntryGroups,
): Source {
  const input = fileInput(path)
  return {
    identity: input.identity,
    total: input.totalBytes,
    read(cursor) {
      const { blocks, bytesRead } = input.open()
      return countedBatches(groupsOf(blocks, input.name), cursor, bytesRead)
    },
  }
}
