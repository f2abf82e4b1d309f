import type { Query } from '../router/address.ts'
import type { Selector } from './criteria.ts'

/** The ways in which what is typed into the search field can be meant. */

export interface Way {
  readonly selector: Selector
  readonly title: string
  /** What the address has for what was typed, and the other way round. */
  readonly patternOf: (text: string) => string
  readonly textOf: (pattern: string) => string
}

export const ways: readonly Way[] = [
  {
    selector: 'prefix',
    title: 'Key begins with',
    patternOf: (text) => text,
    textOf: (pattern) => pattern,
  },
  { selector: 'filter', title: 'Key contains', patternOf: containing, textOf: contained },
  { selector: 'match', title: 'Value contains', patternOf: containing, textOf: contained },
  { selector: 'where', title: 'Where', patternOf: (text) => text, textOf: (pattern) => pattern },
]

const wildcard = /(?<!\\)[*?]/

/** How a filter on values begins: with a field, or a function of one, negated or not. */
const filterStart = /^[\s!(]*(?:[@$](?:[.[]|$)|(?:length|count|match|search|value)\()/

/** Returns the way that is meant unless a person says otherwise. */
export function usualWay(text: string): Selector {
  if (filterStart.test(text)) return 'where'
  return wildcard.test(text) ? 'filter' : 'prefix'
}

export function wayOf(selector: Selector): Way {
  return ways.find((way) => way.selector === selector)!
}

/** Wildcards that were typed are taken as they are; other text may stand anywhere. */
function containing(text: string): string {
  if (text === '' || wildcard.test(text)) return text
  return `*${text.replace(/\\(?![*?\\])/g, '\\\\')}*`
}

function contained(pattern: string): string {
  const [, inner] = /^\*(.*)\*$/su.exec(pattern) ?? []
  return inner === undefined || inner === '' || wildcard.test(inner)
    ? pattern
    : inner.replaceAll('\\\\', '\\')
}

/** Returns what the search field shows for an address. */
export function searchOf(query: Query): { readonly selector: Selector; readonly text: string } | null {
  const given = ways.toReversed().find(({ selector }) => (query[selector] ?? '') !== '')
  if (given === undefined) return null
  return { selector: given.selector, text: given.textOf(query[given.selector]!) }
}
