import { maxValueBytes } from '../core/limits.ts'
import { fileSource } from './counted.ts'
import { type SourceEntry, SourceError } from './entry.ts'
import type { Source } from './importer.ts'
import { type JsonPart, JsonSplitter } from './json-parts.ts'
import { SeenKeys, withDuplicates } from './seen-keys.ts'

/** Bytes of a part that are kept: those of the largest value with what a format adds, base64 included. */
const maxPartBytes = 2 * maxValueBytes

export interface JsonFormat {
  /** Completes "FILE is …" when the file is of the other kind. */
  readonly expects: 'array' | 'object' | 'any'
  /** Completes "FILE is no …". */
  readonly what: string
  /** Returns the entries of a part. `number` counts the parts from 1. */
  entriesOf(part: JsonPart & { readonly text: string }, number: number): Iterable<SourceEntry>
  /** Names a part that is too large, for the report. */
  keyOf(part: JsonPart, number: number): string
}

/**
 * Returns a JSON file as a source: each part of its array or object gives entries, in bounded memory. A key that comes
 * again is reported, because the later entry replaces the earlier one.
 */
export function jsonSource(path: string, format: JsonFormat): Source {
  return fileSource(path, (blocks, name) => entryGroups(blocks, name, format))
}

async function* entryGroups(
  blocks: AsyncIterable<Buffer>,
  name: string,
  format: JsonFormat,
): AsyncGenerator<Iterable<SourceEntry>> {
  const splitter = new JsonSplitter(name, maxPartBytes)
  const seen = new SeenKeys()
  let number = 0

  function* entriesOf(part: JsonPart): Generator<SourceEntry> {
    number++
    const { text } = part
    if (text === null) {
      const reason = `it has more than ${maxPartBytes} bytes`
      yield { key: format.keyOf(part, number), code: 'too_large', reason }
      return
    }
    yield* withDuplicates(format.entriesOf({ ...part, text }, number), seen)
  }

  for await (const block of blocks) {
    const parts = splitter.push(block)
    const isOther = format.expects !== 'any' && splitter.isArray !== (format.expects === 'array')
    if (isOther && parts.length > 0) throw new SourceError(`${name} is no ${format.what}`)
    if (parts.length > 0) yield parts.values().flatMap(entriesOf)
  }
  splitter.end()
}
