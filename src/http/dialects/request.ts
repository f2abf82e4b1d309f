import { KvistError } from '../../core/errors.ts'
import { maxTimeMs } from '../../core/limits.ts'
import { jsonText, readBody } from '../body.ts'
import type { RequestContext } from '../context.ts'
import type { HttpRequest } from '../wire/request.ts'

/**
 * Requests as the older stores read them: parameters that are not known are passed over, and of one that is given twice
 * the last counts. What cannot be decoded is refused all the same, as it would name something else.
 */

export function queryParameter({ query }: HttpRequest, name: string): string | undefined {
  return query === null ? undefined : formField(query, name)
}

/** What deletes everything takes no parameters: one that is passed over was meant to select less. */
export function refuseParameters({ query }: HttpRequest): void {
  if (query === null || query === '') return
  throw new KvistError('invalid_parameter', 'deleting everything takes no parameters')
}

/** A field of a form, or of a query, which is written in the same way. */
export function formField(form: string, name: string): string | undefined {
  let found: string | undefined
  for (const pair of form.split('&')) {
    const equals = pair.indexOf('=')
    if (decodeForm(equals === -1 ? pair : pair.slice(0, equals)) !== name) continue
    const value = equals === -1 ? '' : decodeForm(pair.slice(equals + 1))
    if (value === null) throw new KvistError('invalid_parameter', `${name} is not UTF-8`, { parameter: name })
    found = value
  }
  return found
}

function decodeForm(text: string): string | null {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '))
  } catch {
    return null
  }
}

/** The text of a JSON body, byte for byte. */
export async function jsonBody(
  request: HttpRequest,
  context: RequestContext,
  maxBytes: number,
): Promise<string> {
  return jsonText(await readBody(request, maxBytes, context))
}

/** A key out of JSON: text, or a number taken as it is written. Undefined for anything else. */
export function keyText(json: string | undefined): string | undefined {
  if (json === undefined) return undefined
  const value: unknown = JSON.parse(json)
  if (typeof value === 'string') return value
  return typeof value === 'number' ? json.trim() : undefined
}

/** The moment that lies so many units from now. Throws `invalid_parameter` for what is no such number. */
export function expiryAfter(count: string, unitMs: number, nowMs: number): number {
  const expiresAtMs = /^\d{1,15}(\.\d{1,15})?$/.test(count)
    ? nowMs + Math.round(Number(count) * unitMs)
    : nowMs
  if (expiresAtMs > nowMs && expiresAtMs <= maxTimeMs) return expiresAtMs
  throw new KvistError('invalid_parameter', 'expire_in is not a number above 0, or ends after the year 9999')
}
