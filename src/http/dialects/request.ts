import { KvistError } from '../../core/errors.ts'
import { maxTimeMs } from '../../core/limits.ts'
import { jsonText, readBody } from '../body.ts'
import type { RequestContext } from '../context.ts'
import type { HttpRequest } from '../wire/request.ts'

/**
 * Parses requests as the original stores did: unknown parameters are ignored, and of a parameter given twice the last
 * counts. A malformed escape is refused all the same, as it could name something else.
 */

export function queryParameter({ query }: HttpRequest, name: string): string | undefined {
  return query === null ? undefined : formField(query, name)
}

/**
 * Throws `invalid_parameter` when a request that deletes everything has parameters: an ignored one was meant to select
 * less.
 */
export function refuseParameters({ query }: HttpRequest): void {
  if (query === null || query === '') return
  throw new KvistError('invalid_parameter', 'deleting everything takes no parameters')
}

/** Returns a field of a form or query; undefined when missing. Throws `invalid_parameter` when it is not UTF-8. */
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

/** Returns the text of a JSON body, unchanged. */
export async function jsonBody(
  request: HttpRequest,
  context: RequestContext,
  maxBytes: number,
): Promise<string> {
  return jsonText(await readBody(request, maxBytes, context))
}

/** Returns a key given as JSON: a text, or a number as written. Undefined for anything else. */
export function keyText(json: string | undefined): string | undefined {
  if (json === undefined) return undefined
  const value: unknown = JSON.parse(json)
  if (typeof value === 'string') return value
  return typeof value === 'number' ? json.trim() : undefined
}

/**
 * Returns the time `count` units from now, in milliseconds. Throws `invalid_parameter` when `count` is not a positive
 * number, or the time is after the year 9999.
 */
export function expiryAfter(count: string, unitMs: number, nowMs: number): number {
  const expiresAtMs = /^\d{1,15}(\.\d{1,15})?$/.test(count)
    ? nowMs + Math.round(Number(count) * unitMs)
    : nowMs
  if (expiresAtMs > nowMs && expiresAtMs <= maxTimeMs) return expiresAtMs
  throw new KvistError('invalid_parameter', 'expire_in is not a number above 0, or ends after the year 9999')
}
