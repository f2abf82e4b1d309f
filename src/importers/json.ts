import { isJson, jsonValue, type SourceEntry } from './entry.ts'
import type { Importer } from './importer.ts'
import { type JsonPart, partsOf } from './json-parts.ts'
import { jsonSource } from './json-source.ts'

/** A JSON array of objects, one field of which holds the key; or a JSON object, whose names are the keys. */
export const json: Importer = {
  operand: 'FILE',
  collection: 'keys',
  options: ['key'],
  async open(path, { key: field }) {
    return jsonSource(path, {
      expects: field === null ? 'object' : 'array',
      what: field === null ? 'JSON object: for an array say --key FIELD' : 'JSON array',
      keyOf: labelOf,
      entriesOf: (part, number) => [entryOf(part, number, field)],
    })
  },
}

function labelOf({ name }: JsonPart, number: number): string {
  return name ?? `element ${number}`
}

function entryOf(
  part: JsonPart & { readonly text: string },
  number: number,
  field: string | null,
): SourceEntry {
  const { name, text } = part
  const label = labelOf(part, number)
  if (!isJson(text)) return { key: label, code: 'damaged', reason: 'it is not JSON' }
  if (name !== null || field === null) return { key: name ?? '', value: jsonValue(text), expiresAtMs: null }
  const key = text.startsWith('{') ? fieldText(text, field) : null
  if (key === null) {
    const reason = `it has no ${JSON.stringify(field)} that is a text or a number`
    return { key: label, code: 'damaged', reason }
  }
  return { key, value: jsonValue(text), expiresAtMs: null }
}

/** Returns a field of an object as a key, a number as it is written; null if it is neither text nor number. */
function fieldText(text: string, field: string): string | null {
  const found: unknown = JSON.parse(text)[field]
  if (typeof found === 'string') return found
  if (typeof found !== 'number') return null
  return partsOf(text, 'the element').parts.findLast(({ name }) => name === field)?.text ?? null
}
