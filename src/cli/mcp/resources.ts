import { type ReadResourceResult, ResourceNotFoundError } from '@modelcontextprotocol/server'
import { AgentError, collectionIn, parseUri, type Reach, uriOf } from './reach.ts'
import { collectionsPage, listKeys } from './read-tools.ts'
import { readBounded, textOf } from './shown.ts'

/** Collections and members as resources, which people choose in an MCP client. */

/** The most bytes of a value that is read as a resource. */
const maxResourceBytes = 1024 * 1024
const keysOfCollection = 1000

export const templates = [
  {
    name: 'collection',
    uriTemplate: 'kvist://{collection}',
    title: 'Collection',
    description: `The first ${keysOfCollection} keys of a collection`,
    mimeType: 'application/json',
  },
  {
    name: 'member',
    uriTemplate: 'kvist://{collection}/{+key}',
    title: 'Member',
    description: 'The value of a member',
  },
]

/** Lists the collections. */
export async function listResources(reach: Reach, cursor: string | undefined, signal: AbortSignal) {
  const { collections, next } = await collectionsPage(reach, { cursor, signal })
  const resources = collections.map(({ name, members }) => ({
    uri: uriOf(name),
    name,
    description: members === null ? 'a collection' : `a collection of ${members} members`,
    mimeType: 'application/json',
  }))
  return { resources, ...(next === null ? {} : { nextCursor: next }) }
}

/** Returns the value of a member, or the keys of a collection. */
export async function readResource(
  reach: Reach,
  uri: string,
  signal: AbortSignal,
): Promise<ReadResourceResult> {
  const named = parseUri(uri)
  if (named === null) throw new ResourceNotFoundError(uri)
  const { collection, key } = named
  if (key === null) {
    const text = await listKeys(reach, collection, { limit: keysOfCollection }, signal)
    return { contents: [{ uri, mimeType: 'application/json', text }] }
  }
  const found = await collectionIn(reach, collection).getRaw(key, { signal })
  if (found === null) throw new ResourceNotFoundError(uri)
  const { bytes, isWhole } = await readBounded(found, maxResourceBytes)
  if (!isWhole)
    throw new AgentError(
      `the value has more than ${maxResourceBytes} bytes: the tool get shows its beginning`,
    )
  const text = textOf(found.content_type, bytes)
  const content = text === null ? { blob: bytes.toString('base64') } : { text }
  return { contents: [{ uri, mimeType: found.content_type, ...content }] }
}
