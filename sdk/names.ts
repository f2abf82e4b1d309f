import { KvistInputError } from './errors.ts'
import type { ScopeOptions } from './options.ts'

/** What goes into a URL. */

/** The path of a collection. Names that begin with `_` are kvist's own. */
export function collectionPath(name: string): string {
  if (name.startsWith('_')) throw new KvistInputError('a name that begins with _ is not a collection')
  return `/v1/${segment(name)}`
}

/** A name as one segment of a path. URLs cannot say the empty one and the two that mean folders: they would name something else. */
export function segment(name: string): string {
  if (name === '' || name === '.' || name === '..')
    throw new KvistInputError(`a URL cannot hold the name ${JSON.stringify(name)}`)
  try {
    return encodeURIComponent(name)
  } catch {
    throw new KvistInputError(`half of a character cannot be in a name: ${JSON.stringify(name)}`)
  }
}

export type Parameters = Readonly<Record<string, string | number | null | undefined>>

/** With its question mark; empty when nothing is given. */
export function query(parameters: Parameters): string {
  const given = new URLSearchParams()
  for (const [name, value] of Object.entries(parameters)) if (value != null) given.set(name, `${value}`)
  return given.size === 0 ? '' : `?${given}`
}

export function scopeOf({ prefix, filter }: ScopeOptions): Parameters {
  return { prefix, filter }
}
