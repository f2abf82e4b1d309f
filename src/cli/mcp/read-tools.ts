import { z } from 'zod'
import { linesOf } from '../../../sdk/lines.ts'
import { parseExactly } from '../exact-json.ts'
import { AgentError, collectionIn, type Reach } from './reach.ts'
import {
  type ExactMember,
  maxValueBytes,
  ResultItems,
  readBounded,
  shownFound,
  shownMember,
} from './shown.ts'
import { afterInput, collectionInput, filterInput, keyInput, limitInput, prefixInput, tool } from './tool.ts'

const pageCollections = 100

export const collectionsTool = tool({
  title: 'List collections',
  description: 'Lists the collections with their numbers of members and of bytes, 100 at a time.',
  input: z.strictObject({
    prefix: z.string().optional().describe('Only names that begin with this'),
    after: afterInput,
  }),
  run: async (reach, { prefix, after }, signal) =>
    JSON.stringify(await collectionsPage(reach, { prefix, cursor: after, signal })),
})

/** Returns a page of the collections that are shown. */
export async function collectionsPage(
  { kvist, collections: shown }: Reach,
  options: { prefix?: string | undefined; cursor?: string | undefined; signal: AbortSignal },
) {
  if (shown === null) return kvist.collectionsPage({ ...options, limit: pageCollections })
  const { prefix = '', signal } = options
  const found = shown
    .filter((name) => name.startsWith(prefix))
    .map(async (name) => {
      const { collections } = await kvist.collectionsPage({ prefix: name, limit: 1, signal })
      return collections.filter((one) => one.name === name)
    })
  return { collections: (await Promise.all(found)).flat(), next: null }
}

export const getTool = tool({
  title: 'Get a member',
  description:
    'Returns one member: its value, revision, content type and expiry. JSON is in `value`, other text in `value_text`, other bytes ' +
    `in \`value_base64\`. Of a value of more than ${maxValueBytes} bytes it returns the beginning.`,
  input: z.strictObject({ collection: collectionInput, key: keyInput }),
  async run(reach, { collection, key }, signal) {
    const found = await collectionIn(reach, collection).getRaw(key, { signal })
    if (found === null) throw new AgentError(notFound(collection, key))
    return shownFound(key, found, await readBounded(found, maxValueBytes))
  },
})

function notFound(collection: string, key: string): string {
  return `there is no member ${JSON.stringify(key)} in ${JSON.stringify(collection)}`
}

export const listTool = tool({
  title: 'List keys',
  description: 'Lists keys of a collection in their order. `next` is null at the end.',
  input: z.strictObject({
    collection: collectionInput,
    prefix: prefixInput,
    after: afterInput,
    limit: limitInput(1000, 100),
  }),
  run: (reach, { collection, ...selection }, signal) => listKeys(reach, collection, selection, signal),
})

export async function listKeys(
  reach: Reach,
  collection: string,
  { prefix, after, limit }: { prefix?: string | undefined; after?: string | undefined; limit: number },
  signal: AbortSignal,
): Promise<string> {
  const options = { prefix, from: after, limit: limit + 2, include: 'keys', signal } as const
  const lines = linesOf(await collectionIn(reach, collection).lines(options))
  return listed('keys', await pageOf(lines, after, limit, ({ key }) => JSON.stringify(key)))
}

export const findTool = tool({
  title: 'Find members',
  description:
    'Returns members of a collection with their values: all, or those that fit, in the order of their keys unless there is an ' +
    '`order`. `next` is null at the end. Long values are cut; get shows more of them.',
  input: z.strictObject({
    collection: collectionInput,
    prefix: prefixInput,
    filter: filterInput,
    where: z
      .string()
      .optional()
      .describe(
        'Only members whose value matches a filter of JSONPath, in which @ is the value: @.country == "SE" && @.population >= 1000',
      ),
    order: z
      .string()
      .optional()
      .describe(
        'By fields, with a minus descending: -@.population,@.name. Without `after`; ask for more with a larger limit',
      ),
    fields: z.string().optional().describe('Only these fields of each value: @.name,@.population'),
    match: z
      .string()
      .optional()
      .describe('Only members with a top-level value like this, with the same wildcards: *Ada*, 42, true'),
    after: afterInput,
    limit: limitInput(100, 20),
  }),
  async run(reach, { collection, after, limit, order, ...selection }, signal) {
    if (order !== undefined && after !== undefined) throw new AgentError('"order" does not go with "after"')
    // By key, so that the last one is where the next page begins, also where an index would give another order.
    const options = { ...selection, order: order ?? 'asc', from: after, limit: limit + 2, signal }
    const lines = linesOf(await collectionIn(reach, collection).findLines(options))
    const page = await pageOf(lines, after, limit, shownMember)
    return listed('members', order === undefined ? page : { ...page, next: null })
  },
})

interface ShownPage {
  readonly items: ResultItems
  /** The last key, if more follow. */
  readonly next: string | null
}

function listed(name: 'keys' | 'members', { items, next }: ShownPage): string {
  return `{"${name}": ${items.toJson()}, "next": ${JSON.stringify(next)}}`
}

/**
 * Returns a page from lines that begin with the key `after`, if that is still there. It ends the stream of lines as soon as it has
 * what it returns.
 */
async function pageOf(
  lines: AsyncIterable<string>,
  after: string | undefined,
  limit: number,
  show: (member: ExactMember) => string,
): Promise<ShownPage> {
  const items = new ResultItems()
  let last: string | null = null
  for await (const line of lines) {
    const member: ExactMember = parseExactly(line)
    if (member.key === after) continue
    if (items.length === limit || !items.add(show(member))) return { items, next: last }
    last = member.key
  }
  return { items, next: null }
}
