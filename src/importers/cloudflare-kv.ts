import { plainValue, type SourceEntry } from './entry.ts'
import { bytesOfBase64, exportedFields } from './exported-json.ts'
import type { Importer } from './importer.ts'
import { jsonSource } from './json-source.ts'

/**
 * The JSON of `wrangler kv bulk`: `[{"key", "value", "base64"?, "expiration"?, "expiration_ttl"?, "metadata"?}, …]`.
 * `expiration` is in seconds since 1970, `expiration_ttl` in seconds from now.
 */
export const cloudflareKv: Importer = {
  operand: 'FILE',
  collection: 'keys',
  options: ['json'],
  async open(path, { json, now }) {
    const nowMs = now()
    return jsonSource(path, {
      expects: 'array',
      what: 'file of wrangler kv bulk, which is a JSON array',
      keyOf: (_part, number) => `element ${number}`,
      entriesOf: ({ text }, number) => [entryOf(text, number, json, nowMs)],
    })
  },
}

function entryOf(text: string, number: number, asJson: boolean, nowMs: number): SourceEntry {
  const found = exportedFields(text, number)
  if ('code' in found) return found
  const { key, fields } = found
  const { value, base64 = false, expiration, expiration_ttl: seconds, metadata = null } = fields
  if (typeof value !== 'string') return { key, code: 'damaged', reason: 'its "value" is no text' }
  const bytes = base64 === true ? bytesOfBase64(value) : Buffer.from(value)
  if (bytes === null) return { key, code: 'damaged', reason: 'its "value" is not base64' }
  const expiresAtMs = expiryOf(expiration, seconds, nowMs)
  if (expiresAtMs === 'unknown') return { key, code: 'damaged', reason: 'its expiry is no number' }
  const entry = { key, value: plainValue(bytes, asJson), expiresAtMs }
  return metadata === null ? entry : { ...entry, lost: 'its metadata' }
}

/** `expiration` counts where both are given, as at Cloudflare. */
function expiryOf(expiration: unknown, seconds: unknown, nowMs: number): number | null | 'unknown' {
  const isGiven = (field: unknown) => field !== undefined && field !== null
  if (isGiven(expiration)) return typeof expiration === 'number' ? expiration * 1000 : 'unknown'
  if (isGiven(seconds)) return typeof seconds === 'number' ? nowMs + seconds * 1000 : 'unknown'
  return null
}
