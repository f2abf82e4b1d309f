import type { Format } from 'ajv/dist/2020.js'
import { maxFormattedChars } from '../limits.ts'
import { patternOf } from './patterns.ts'

/**
 * The formats of JSON Schema 2020-12 that are checked: those that `ajv-formats` has, without the ones for international names. `regex` is what `pattern` takes.
 */
export const formatNames = [
  'date-time',
  'date',
  'time',
  'duration',
  'email',
  'hostname',
  'ipv4',
  'ipv6',
  'uri',
  'uri-reference',
  'uri-template',
  'uuid',
  'json-pointer',
  'relative-json-pointer',
  'regex',
] as const

/** Returns the formats. A text longer than any of them is in use breaks it: some take the square of the length to check. */
export function formats(): Record<string, Format> {
  const { fullFormats }: typeof import('ajv-formats/dist/formats.js') = require('ajv-formats/dist/formats.js')
  const checks: Readonly<Record<string, unknown>> = { ...fullFormats, regex: isPattern }
  return Object.fromEntries(
    formatNames.map((name) => [
      name,
      (text: string) => text.length <= maxFormattedChars && matches(checks[name], text),
    ]),
  )
}

function matches(format: unknown, text: string): boolean {
  if (format instanceof RegExp) return format.test(text)
  if (typeof format === 'function') return format(text) === true
  if (typeof format === 'object' && format !== null && 'validate' in format)
    return matches(format.validate, text)
  return false
}

function isPattern(text: string): boolean {
  try {
    patternOf(text)
    return true
  } catch {
    return false
  }
}
