import type { DropOptions } from 'kvist-client'
import type { Query } from '../router/address.ts'
import { shownName } from '../ui/shown-name.ts'
import { globMatcher } from './keys.ts'

/** What a list selects and how it is ordered, as the address has it. */

/** The ways to look for members; each is a parameter of the address and of the API, and they can be combined. */
export const selectors = ['prefix', 'filter', 'match', 'where'] as const
export type Selector = (typeof selectors)[number]

export interface Criteria {
  readonly prefix: string
  readonly filter: string
  readonly match: string
  readonly where: string
  /** `asc` or `desc`, by key; or fields of the value: `-@.population,@.name`. */
  readonly order: string
  /** One level of the keys, with what is below it as folders. */
  readonly isFolders: boolean
}

export const delimiter = '/'

export function criteriaOf({
  prefix = '',
  filter = '',
  match = '',
  where = '',
  order,
  view,
}: Query): Criteria {
  const known = order === 'desc' || isFieldOrder(order) ? order : 'asc'
  // The server finds by fields in all keys, not in one level of them.
  const isFolders = view === 'folders' && where === '' && !isFieldOrder(known)
  return { prefix, filter, match, where, order: known, isFolders }
}

/** Whether a text may be an order by fields: the server says which are well-formed. */
export function isFieldOrder(order: string | undefined): order is string {
  return order !== undefined && /^-?[@$]/.test(order)
}

/** Returns what the API is asked for; only what is given, so that nothing empty selects everything. */
export function selectionOf(criteria: Criteria): Pick<DropOptions, Selector> {
  return Object.fromEntries(
    selectors.flatMap((name) => (criteria[name] === '' ? [] : [[name, criteria[name]]])),
  )
}

export function isEverything(criteria: Criteria): boolean {
  return selectors.every((name) => criteria[name] === '')
}

/** For sentences: "that begin with “a” and whose values match “*x*”". */
export function describe(criteria: Criteria): string {
  const words: Readonly<Record<Selector, string>> = {
    prefix: 'that begin with',
    filter: 'that match',
    match: 'with a value that matches',
    where: 'where',
  }
  const given = selectors.filter((name) => criteria[name] !== '')
  return given.map((name) => `${words[name]} “${shownName(criteria[name])}”`).join(' and ')
}

/**
 * Returns whether a key may be selected: true also where only the value can tell. What the server finds malformed selects
 * nothing.
 */
export function keyTest(criteria: Criteria): (key: string) => boolean {
  const matches = criteria.filter === '' ? () => true : globMatcher(criteria.filter)
  return (key) => key.startsWith(criteria.prefix) && matches(key)
}

/** Returns the row that a key belongs to: its own, or that of a folder. */
export function entryOf(key: string, { isFolders, prefix }: Criteria): string {
  const at = isFolders ? key.indexOf(delimiter, prefix.length) : -1
  return at === -1 ? key : key.slice(0, at + delimiter.length)
}
