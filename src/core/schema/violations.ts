import type { ErrorObject } from 'ajv/dist/2020.js'
import { maxViolations } from '../limits.ts'

/** One way in which a value breaks a schema. */
export interface Violation {
  /** The JSON pointer to the part of the value; cut after 200 characters, with `…`. */
  readonly pointer: string
  /** For people. */
  readonly reason: string
  /** The keyword of the schema that it breaks; `json` for a value that isn't JSON, `limit` for one that was not checked to its end. */
  readonly keyword: string
}

const maxTextChars = 200

/** Returns the first violations, without repetitions. */
export function violationsFrom(errors: readonly ErrorObject[]): Violation[] {
  const found = new Map<string, Violation>()
  for (const error of errors) {
    const violation = violationOf(error)
    found.set(JSON.stringify(violation), violation)
    if (found.size === maxViolations) break
  }
  return [...found.values()]
}

type Params = Readonly<Record<string, unknown>>

/** The reasons that ajv's own messages do not give, by keyword. */
const reasons: Readonly<Record<string, (params: Params) => string>> = {
  enum: ({ allowedValues }) => `must be one of ${listed(allowedValues)}`,
  const: ({ allowedValue }) => `must be ${json(allowedValue)}`,
  additionalProperties: () => 'is not a property that the schema knows',
  unevaluatedProperties: () => 'is not a property that the schema knows',
  propertyNames: ({ propertyName }) => `must not have a property with the name ${json(propertyName)}`,
  required: ({ missingProperty }) => `must have the property ${json(missingProperty)}`,
  'false schema': () => 'must not be here',
}

function violationOf({ keyword, instancePath, params, message = '' }: ErrorObject): Violation {
  const extra: unknown = params.additionalProperty ?? params.unevaluatedProperty
  const pointer = typeof extra === 'string' ? `${instancePath}/${escaped(extra)}` : instancePath
  const reason = reasons[keyword]?.(params) ?? message
  return { pointer: cut(pointer), reason: cut(reason), keyword }
}

function escaped(name: string): string {
  return name.replaceAll('~', '~0').replaceAll('/', '~1')
}

function listed(values: unknown): string {
  return Array.isArray(values) ? values.map(json).join(', ') : ''
}

function json(value: unknown): string {
  return JSON.stringify(value) ?? ''
}

export function cut(text: string): string {
  if (text.length <= maxTextChars) return text
  return `${text
    .slice(0, maxTextChars)
    .toWellFormed()
    .replace(/\ufffd$/, '')}…`
}

/** Returns a line for people: the first violations. */
export function summaryOf(violations: readonly Violation[]): string {
  const shown = violations
    .slice(0, 3)
    .map(({ pointer, reason }) => `${pointer === '' ? 'it' : pointer} ${reason}`)
  const more = violations.length - shown.length
  return `${shown.join('; ')}${more > 0 ? ` (and ${more} more)` : ''}`
}
