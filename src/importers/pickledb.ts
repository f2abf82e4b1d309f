import { isJson, jsonValue, type SourceEntry } from './entry.ts'
import type { Importer } from './importer.ts'
import { partsOf } from './json-parts.ts'
import { jsonSource } from './json-source.ts'

/**
 * A file of pickleDB: a JSON object of all keys. The store over it whose HTTP is the dialect `keys` wraps each value
 * as `{"value", "date_creation", "time_to_live"}`: the value is taken out, and expires when it did there.
 */
export const pickledb: Importer = {
  operand: 'FILE',
  collection: 'keys',
  options: [],
  async open(path) {
    return jsonSource(path, {
      expects: 'object',
      what: 'pickleDB file, which is a JSON object',
      keyOf: ({ name }) => name ?? '',
      entriesOf: ({ name, text }) => [entryOf(name ?? '', text)],
    })
  },
}

const wrapperNames = ['value', 'date_creation', 'time_to_live']

function entryOf(key: string, text: string): SourceEntry {
  if (!isJson(text)) return { key, code: 'damaged', reason: 'the value is not JSON' }
  const wrapped = text.startsWith('{') ? unwrap(text) : null
  if (wrapped === null) return { key, value: jsonValue(text), expiresAtMs: null }
  const { value, createdText, secondsText } = wrapped
  const seconds = Number(JSON.parse(secondsText ?? 'null') ?? 0)
  if (!(seconds > 0)) return { key, value: jsonValue(value), expiresAtMs: null }
  const createdMs = parsePythonTime(String(JSON.parse(createdText)))
  if (createdMs === null) return { key, code: 'damaged', reason: 'its "date_creation" is no time' }
  return { key, value: jsonValue(value), expiresAtMs: createdMs + seconds * 1000 }
}

interface Wrapped {
  readonly value: string
  readonly createdText: string
  readonly secondsText: string | undefined
}

/** Returns what is in a wrapper; null if the object is not one. */
function unwrap(text: string): Wrapped | null {
  const { parts } = partsOf(text, 'the value')
  if (!parts.every(({ name }) => wrapperNames.includes(name!))) return null
  const texts = new Map(parts.map(({ name, text }) => [name, text!]))
  const value = texts.get('value')
  const createdText = texts.get('date_creation')
  if (value === undefined || createdText === undefined) return null
  return { value, createdText, secondsText: texts.get('time_to_live') }
}

/** Parses `2019-03-01 12:34:56.789012`, as Python writes a time without a zone. The store ran in a container, in UTC. */
function parsePythonTime(text: string): number | null {
  const parts = /^(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)(\.\d{1,3})?\d*(Z|[+-]\d\d:?\d\d)?$/.exec(text)
  if (parts === null) return null
  const [, day, time, fraction = '', zone = 'Z'] = parts
  const ms = Date.parse(`${day}T${time}${fraction}${zone}`)
  return Number.isNaN(ms) ? null : ms
}
