import { checkValue, isWellFormed, nonEmptyText, type Rule, shown } from './checks.ts'
import { KvistInputError } from './errors.ts'
import type { ScopeOptions } from './options.ts'
import type { Where } from './where.ts'

/** Encodes collections, keys and parameters for URLs. Only the server checks their length. */

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
const forbiddenInCollection = /[\x00-\x1f\x7f/]/

/** Requires a name that the server accepts for a collection; names that begin with `_` are kvist's own. */
export const collectionName: Rule = (given) => {
  if (nonEmptyText(given) !== null) return nonEmptyText(given)
  const name = String(given)
  if (name.startsWith('_')) return 'a name that does not begin with _'
  if (name === '.' || name === '..') return 'a name that no URL takes for a path step'
  return forbiddenInCollection.test(name) ? 'a name without slashes and control characters' : null
}

export const memberKey: Rule = nonEmptyText

export function collectionPath(name: string): string {
  checkValue('the collection', name, collectionName)
  return `/v1/${encodeURIComponent(name)}`
}

/**
 * Returns the path of a member. URL parsers resolve a segment that is `.` or `..`, so the slash before such a key is
 * escaped, which the server accepts as well.
 */
export function memberPath(collection: string, key: string): string {
  checkValue('the key', key, memberKey)
  const isStep = key === '.' || key === '..'
  return `${collection}${isStep ? '%2F' : '/'}${encodeURIComponent(key)}`
}

export type Parameters = Readonly<Record<string, string | number | null | undefined>>

/** Returns a query string with its question mark; empty if no parameter is given. */
export function query(parameters: Parameters): string {
  const given = new URLSearchParams()
  for (const [name, value] of Object.entries(parameters)) if (value != null) given.set(name, `${value}`)
  return given.size === 0 ? '' : `?${given}`
}

export function scopeOf({ prefix, filter, where }: ScopeOptions): Parameters {
  return { prefix, filter, where: textOf(where) }
}

/** Returns the text of a filter on values. */
export function textOf(where: string | Where | undefined): string | undefined {
  return where === undefined ? undefined : String(where)
}

/**
 * Returns the URL that the server's paths are relative to, without a trailing slash. A trailing `/v1` is removed,
 * because it belongs to the API. Throws a KvistInputError if it is not an http or https URL.
 */
export function parseServerUrl(given: unknown): string {
  const url = typeof given === 'string' && URL.canParse(given) ? new URL(given) : null
  if (typeof given !== 'string' || url === null || !/^https?:$/.test(url.protocol) || !isWellFormed(given))
    throw new KvistInputError(`the URL of a server must be one of http or https, not ${shown(given)}`)
  if (/[?#]/.test(given)) throw new KvistInputError('the URL of a server has neither ? nor #')
  if (url.username !== '' || url.password !== '')
    throw new KvistInputError('the URL of a server has no name and password: a token is an option of its own')
  return given.replace(/\/+$/, '').replace(/\/v1$/, '').replace(/\/+$/, '')
}
