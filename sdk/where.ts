import { isWellFormed, shown } from './checks.ts'
import { KvistInputError } from './errors.ts'

/** Builds filters on values (docs/find.md) from values, which are quoted: no text can become a part of the filter. */

/** What may stand in a filter: a value that JSON has, a field, another filter. */
export type WhereValue = string | number | bigint | boolean | null | Field | Where

/** A filter, as the options `where` take it. */
export class Where {
  readonly text: string

  constructor(text: string) {
    this.text = text
  }

  toString(): string {
    return this.text
  }
}

/** A field of the value, as `order` and `fields` take it, too. */
export class Field {
  readonly text: string

  constructor(text: string) {
    this.text = text
  }

  toString(): string {
    return this.text
  }
}

/**
 * Returns a filter with values in it:
 *
 *     where`@.country == ${country} && @.population >= ${least}`
 *
 * Text and numbers are written as the filter needs them. Another filter gets parentheses. Throws a KvistInputError for a
 * value that is none of JSON, and for one inside of quotes, where it must not be.
 */
export function where(parts: TemplateStringsArray, ...values: readonly WhereValue[]): Where {
  let text = parts[0] ?? ''
  for (const [i, value] of values.entries()) {
    if (endsInQuotes(text)) {
      throw new KvistInputError(
        `the value ${shown(value)} of a filter stands inside of quotes: it gets its own`,
      )
    }
    text += literal(value) + (parts[i + 1] ?? '')
  }
  return new Where(text)
}

/** Returns the field with this name or, with several, the one at this path: `field('address', 'city')`, `field('tags', 0)`. */
export function field(...path: readonly (string | number)[]): Field {
  const steps = path.map((step) => {
    const isIndex = typeof step === 'number' && Number.isSafeInteger(step)
    if (isIndex) return `[${step}]`
    if (typeof step === 'string' && isWellFormed(step)) return `[${JSON.stringify(step)}]`
    throw new KvistInputError(`a field has names and whole numbers, not ${shown(step)}`)
  })
  return new Field(`@${steps.join('')}`)
}

function literal(value: WhereValue): string {
  if (value instanceof Where) return `(${value.text})`
  if (value instanceof Field) return value.text
  if (value === null || typeof value === 'boolean' || typeof value === 'bigint') return String(value)
  if (typeof value === 'number' && Number.isFinite(value)) return String(value)
  if (typeof value === 'string' && isWellFormed(value)) return JSON.stringify(value)
  throw new KvistInputError(
    `a filter compares with text, finite numbers, true, false and null, not with ${shown(value)}`,
  )
}

/** Whether the end of a filter is inside of a text in quotes. */
function endsInQuotes(filter: string): boolean {
  const rest = filter.replace(/"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'/gs, '')
  return /["']/.test(rest)
}
