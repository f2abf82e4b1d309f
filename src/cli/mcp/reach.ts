import type { Collection, Kvist } from '../../../sdk/client.ts'

/** The part of a store that an agent may see and change. The server checks the token's grants besides. */
export interface Reach {
  readonly kvist: Kvist
  /** The names of the collections that are shown; null for all. */
  readonly collections: readonly string[] | null
  readonly canWrite: boolean
}

/** An error that an agent can do something about: its message is the result of the call. */
export class AgentError extends Error {}

/** Returns a collection. Throws an AgentError if it is not shown. */
export function collectionIn({ kvist, collections }: Reach, name: string): Collection<unknown> {
  if (collections !== null && !collections.includes(name))
    throw new AgentError(
      `kvist mcp shows only ${collections.join(', ')}, not ${JSON.stringify(name)}: see --collection`,
    )
  return kvist.collection(name)
}

/** The URI of a collection or, with a key, of a member. */
export function uriOf(collection: string, key?: string): string {
  const path = key === undefined ? '' : `/${encodeURIComponent(key).replaceAll('%2F', '/')}`
  return `kvist://${encodeURIComponent(collection)}${path}`
}

/** What a URI names; null if it is none of kvist's. */
export function parseUri(uri: string): { readonly collection: string; readonly key: string | null } | null {
  const [, name = '', key] = /^kvist:\/\/([^/?#]+)(?:\/([^?#]+))?$/.exec(uri) ?? []
  try {
    const collection = decodeURIComponent(name)
    return collection === '' ? null : { collection, key: key === undefined ? null : decodeURIComponent(key) }
  } catch {
    return null // a percent sign without two digits
  }
}
