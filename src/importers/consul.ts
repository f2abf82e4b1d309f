import { plainValue, type SourceEntry } from './entry.ts'
import { bytesOfBase64, exportedFields } from './exported-json.ts'
import type { Importer } from './importer.ts'
import { jsonSource } from './json-source.ts'

/** What `consul kv export` prints: `[{"key", "flags", "value"}, …]`, the value in base64. */
export const consul: Importer = {
  operand: 'FILE',
  collection: 'keys',
  options: ['json'],
  async open(path, { json }) {
    return jsonSource(path, {
      expects: 'array',
      what: 'export of Consul, which is a JSON array',
      keyOf: (_part, number) => `element ${number}`,
      entriesOf: ({ text }, number) => [entryOf(text, number, json)],
    })
  },
}

function entryOf(text: string, number: number, asJson: boolean): SourceEntry {
  const found = exportedFields(text, number)
  if ('code' in found) return found
  const { key, fields } = found
  const { value = '', flags = 0 } = fields
  const bytes = value === null ? Buffer.alloc(0) : typeof value === 'string' ? bytesOfBase64(value) : null
  if (bytes === null) return { key, code: 'damaged', reason: 'its "value" is not base64' }
  const entry = { key, value: plainValue(bytes, asJson), expiresAtMs: null }
  if (typeof flags === 'number' && Number.isInteger(flags) && flags >= 0 && flags < 2 ** 32)
    return flags === 0 ? entry : { ...entry, flags }
  return { ...entry, lost: 'its flags, which have more than 32 bits' }
}
