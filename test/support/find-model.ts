import type { FindOrder } from '../../src/core/find/expressions.ts'
import type { FindQuery } from '../../src/core/find/query.ts'
import { compareKeys } from '../../src/core/keys.ts'
import { everything } from '../../src/core/list.ts'
import type { Value } from '../../src/core/member.ts'

/** Filters and sorts members in memory, to compare with what is found. It knows few filters, and nothing of the store's. */

export type Random = (below: number) => number

export interface ModelMember {
  readonly key: string
  readonly value: Value
}

/** A filter, and what it selects. */
export interface ModelFilter {
  readonly text: string
  matches(value: Readonly<Record<string, unknown>>): boolean
}

export const emptyQuery: FindQuery = {
  ...everything,
  where: null,
  order: null,
  fields: null,
  limit: 100,
  cursor: null,
  keysOnly: false,
  count: false,
}

const groups = ['a', 'b', 'c', 'é', '\u{1f600}', '']
const texts = ['x', 'X', 'xx', 'y"', '\\', 'ż', '\ufffd', '\u{10000}', '']

/** Returns a value whose fields `g`, `n` and `t` are of any kind, or missing. */
export function randomValue(below: Random): Value {
  if (below(20) === 0) return new Uint8Array([below(256)])
  if (below(20) === 0) return ['1', '"a"', 'null', '[1]'][below(4)]!
  const fields: string[] = []
  if (below(10) > 0) fields.push(`"g":${JSON.stringify(groups[below(groups.length)])}`)
  if (below(10) > 0) fields.push(`"n":${randomNumber(below)}`)
  if (below(3) > 0) fields.push(`"t":${JSON.stringify(texts[below(texts.length)])}`)
  else if (below(2) > 0) fields.push(`"t":${['null', 'true', 'false', '{}', '[]', '7'][below(6)]}`)
  return `{${fields.join(below(2) === 0 ? ',' : ' , ')}}`
}

function randomNumber(below: Random): string {
  const number = below(21) - 10
  const forms = [`${number}`, `${number}.0`, `${number}e0`, `${number * 10}e-1`, `${number}.5`]
  return forms[below(forms.length)]!
}

export function randomFilter(below: Random): ModelFilter {
  const group = groups[below(groups.length)]!
  const [low, high] = [below(21) - 10, below(21) - 10]
  const isNumber = (n: unknown): n is number => typeof n === 'number'
  const choices: readonly ModelFilter[] = [
    { text: `@.g == ${JSON.stringify(group)}`, matches: ({ g }) => g === group },
    { text: `@.n >= ${low}`, matches: ({ n }) => isNumber(n) && n >= low },
    { text: `@.n < ${high}`, matches: ({ n }) => isNumber(n) && n < high },
    { text: `@.n == ${low}`, matches: ({ n }) => n === low },
    {
      text: `@.g > ${JSON.stringify(group)}`,
      matches: ({ g }) => typeof g === 'string' && compareKeys(g, group) > 0,
    },
  ]
  const one = choices[below(choices.length)]!
  if (below(3) === 0) return one
  const other = choices[below(choices.length)]!
  return {
    text: `${one.text} && ${other.text}`,
    matches: (value) => one.matches(value) && other.matches(value),
  }
}

export function randomOrder(below: Random): string | null {
  if (below(4) === 0) return null
  if (below(4) === 0) return below(2) === 0 ? 'asc' : 'desc'
  const fields = ['@.g', '@.n', '@.t', '@'].filter(() => below(2) === 0)
  if (fields.length === 0) fields.push('@.n')
  const isUniform = below(2) === 0
  const isDescending = below(2) === 0
  return fields.map((one) => ((isUniform ? isDescending : below(2) === 0) ? `-${one}` : one)).join(',')
}

function parsed({ value }: ModelMember): Readonly<Record<string, unknown>> | null {
  if (typeof value !== 'string') return null
  const value_: unknown = JSON.parse(value)
  return typeof value_ === 'object' && value_ !== null ? (value_ as Record<string, unknown>) : {}
}

/** Returns whether a member matches; one that is not JSON does not match any filter. */
export function modelMatches(member: ModelMember, filter: ModelFilter | null): boolean {
  if (filter === null) return true
  const value = parsed(member)
  return value !== null && filter.matches(value)
}

/** Sorts members by an order of a query. */
export function modelSorted(members: readonly ModelMember[], order: FindOrder): ModelMember[] {
  if (typeof order === 'string') {
    const sign = order === 'asc' ? 1 : -1
    return members.toSorted((a, b) => sign * compareKeys(a.key, b.key))
  }
  return members.toSorted((a, b) => {
    let sign = 1
    for (const { field, descending } of order) {
      sign = descending ? -1 : 1
      const found = compareValues(fieldOf(a, field.segments[0]), fieldOf(b, field.segments[0]))
      if (found !== 0) return sign * found
    }
    return sign * compareKeys(a.key, b.key)
  })
}

function fieldOf(member: ModelMember, name: string | number | undefined): unknown {
  if (typeof member.value !== 'string') return undefined
  if (name === undefined) return new Raw(member.value)
  return parsed(member)?.[name]
}

/** A whole value: objects and arrays are sorted by their text. */
class Raw {
  readonly text: string
  constructor(text: string) {
    this.text = text
  }
}

function rankOf(value: unknown): number {
  if (value === undefined) return 0
  if (value === null) return 1
  if (typeof value === 'boolean') return value ? 3 : 2
  if (typeof value === 'number') return 4
  if (typeof value === 'string') return 5
  return Array.isArray(value) ? 6 : 7
}

function compareValues(a: unknown, b: unknown): number {
  const [one, oneText] = unwrapped(a)
  const [other, otherText] = unwrapped(b)
  const rank = rankOf(one) - rankOf(other)
  if (rank !== 0) return rank
  if (typeof one === 'number') return one - (other as number)
  if (typeof one === 'string') return compareKeys(one, other as string)
  return rankOf(one) >= 6 ? compareKeys(oneText, otherText) : 0
}

function unwrapped(value: unknown): [value: unknown, text: string] {
  if (value instanceof Raw) return [JSON.parse(value.text), value.text]
  return [value, value === undefined ? '' : JSON.stringify(value)]
}
