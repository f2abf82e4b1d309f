import { isJson, jsonValue, type SourceEntry } from './entry.ts'
import type { Importer } from './importer.ts'
import { partsOf } from './json-parts.ts'
import { jsonSource } from './json-source.ts'

/**
 * A data file of Ozza, `default_store.oz` unless it was named otherwise: a JSON object of resources, each an array of
 * members. A resource becomes a collection, the `id` of a member its key. `created_at` and `expiry_time` are metadata
 * and not part of the value, as in the dialect.
 */
export const ozza: Importer = {
  operand: 'FILE',
  collection: null,
  options: [],
  async open(path) {
    return jsonSource(path, {
      expects: 'object',
      what: 'Ozza file, which is a JSON object of resources',
      keyOf: ({ name }) => name ?? '',
      entriesOf: ({ name, text }) => membersOf(name ?? '', text),
    })
  },
}

function* membersOf(collection: string, text: string): Generator<SourceEntry> {
  if (!text.startsWith('[')) {
    yield { key: collection, code: 'damaged', reason: 'the resource is no array of members' }
    return
  }
  let number = 0
  for (const { text: member } of partsOf(text, `the resource ${collection}`).parts) {
    number++
    yield entryOf(collection, number, member!)
  }
}

function entryOf(collection: string, number: number, text: string): SourceEntry {
  const label = `${collection}, member ${number}`
  if (!text.startsWith('{') || !isJson(text))
    return { key: label, code: 'damaged', reason: 'it is no JSON object' }
  const fields = partsOf(text, 'the member').parts
  const { id, expiry_time: expiryMs = 0 }: { id?: unknown; expiry_time?: unknown } = JSON.parse(text)
  if (typeof id !== 'string' && typeof id !== 'number') {
    return { key: label, code: 'damaged', reason: 'it has no "id" that is a text or a number' }
  }
  const key = typeof id === 'string' ? id : fields.findLast(({ name }) => name === 'id')!.text!
  if (typeof expiryMs !== 'number') return { key, code: 'damaged', reason: 'its "expiry_time" is no number' }
  const kept = fields.filter(({ name }) => name !== 'created_at' && name !== 'expiry_time')
  const value = `{${kept.map(({ name, text: field }) => `${JSON.stringify(name)}:${field}`).join(',')}}`
  return { key, collection, value: jsonValue(value), expiresAtMs: expiryMs > 0 ? expiryMs : null }
}
