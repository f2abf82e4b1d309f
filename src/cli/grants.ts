import type { Capability, Grant } from '../../sdk/client.ts'
import { quote, refuse } from '../options.ts'

/**
 * Grants as people write and read them: `read,write:users` allows reading and writing in the collection users,
 * `read:logs/t1/*` reading the keys of logs that begin with t1/. A collection has no slash in its name, so the first
 * one ends it.
 */

const capabilities: readonly Capability[] = ['read', 'write', 'admin', 'replicate']

/**
 * Parses the grants of `--allow`, several with commas between them. Those without a pattern of keys get the key prefix.
 * Throws UsageError.
 */
export function parseGrants(text: string, keyPrefix: string | undefined): readonly Grant[] {
  if (keyPrefix === '') refuse('--key-prefix is empty: leave it out to allow all keys')
  const parsed = split(text).map(parseGrant)
  if (keyPrefix !== undefined && parsed.every(({ keys }) => keys !== null))
    refuse('--key-prefix has no --allow to apply to: each says its keys itself')
  return parsed.map(({ can, collections, keys }) => {
    const prefix = keys ?? keyPrefix ?? ''
    return { collections, ...(prefix === '' ? {} : { key_prefix: prefix }), can }
  })
}

/** Splits `read,write:users,read:logs` after each collection. */
function split(text: string): readonly string[] {
  const grants: string[] = []
  let can: string[] = []
  for (const part of text.split(',')) {
    can.push(part)
    if (!part.includes(':')) continue
    grants.push(can.join(','))
    can = []
  }
  if (can.length > 0)
    refuse(
      `--allow ${quote(can.join(','))} names no collection: it reads like read,write:users, once for each collection`,
    )
  return grants
}

interface ParsedGrant {
  readonly can: readonly Capability[]
  readonly collections: string
  /** The beginning of the keys; null where nothing is said about keys. */
  readonly keys: string | null
}

function parseGrant(text: string): ParsedGrant {
  const [, verbs = '', collections = '', pattern] = /^([^:]*):([^/]*)(?:\/(.*))?$/s.exec(text) ?? []
  const where = `--allow ${quote(text)}`
  const can = verbs.split(',').map((verb) => {
    const known = capabilities.find((one) => one === verb.trim())
    return known ?? refuse(`${where}: ${quote(verb.trim())} is none of ${capabilities.join(', ')}`)
  })
  if (collections === '' || collections !== collections.trim())
    refuse(`${where}: after the colon comes a collection, or a pattern such as lo*`)
  return { can, collections, keys: pattern === undefined ? null : prefixOf(pattern, where) }
}

function prefixOf(pattern: string, where: string): string {
  const prefix = pattern.slice(0, -1)
  if (pattern.endsWith('*') && !/[*?\\]/.test(prefix)) return prefix
  return refuse(
    `${where}: keys are named by how they begin, as in users/t1/*; for other characters there is --key-prefix`,
  )
}

/** Shows grants as `--allow` takes them, with spaces between them. */
export function showGrants(grants: readonly Grant[]): string {
  return grants
    .map(({ can, collections, key_prefix: prefix }) => {
      const keys = prefix === undefined ? '' : `/${prefix}*`
      return `${can.join(',')}:${collections}${keys}`
    })
    .join(' ')
}
