import type { Collection, Kvist, ListOptions, Stored } from '../../sdk/client.ts'
import { choice, toggle, wholeNumber } from '../option-kinds.ts'
import { option } from '../options.ts'
import { command } from './command.ts'
import { collectionOption, connect, connectionOptions, jsonOption, selectionOptions } from './connection.ts'
import { parseExactly } from './exact-json.ts'
import { linesOf } from './lines.ts'
import { printLines, tableLines } from './output.ts'

type Include = 'keys' | 'values' | 'all'

export const listCommand = command('list', {
  summary: 'List the members of a collection',
  notes:
    'One key a line. --include values and all give columns: aligned on a terminal, otherwise with a tab between them. ' +
    '--json gives one member a line, with everything that the store knows of it.',
  operands: [],
  options: {
    collection: collectionOption,
    ...selectionOptions,
    limit: option<number | undefined>({
      ...wholeNumber(1, Number.MAX_SAFE_INTEGER),
      flag: 'limit',
      default: undefined,
      help: 'no more members than this',
    }),
    include: option<Include | undefined>({
      ...choice<Include>('keys', 'values', 'all'),
      flag: 'include',
      default: undefined,
      help: 'what to print of each member',
    }),
    collections: option({
      ...toggle(),
      flag: 'collections',
      default: false,
      help: 'list the collections, with how many members and bytes they have',
    }),
    json: { ...jsonOption, help: 'print NDJSON' },
    ...connectionOptions,
  },
  async run(given) {
    const kvist = connect(given)
    const { prefix, filter, match, from, to, order, limit } = given
    const selection = { prefix, filter, match, from, to, order, limit }
    const collection = kvist.collection(given.collection)
    if (given.collections) await printCollections(kvist, given.json)
    else if (given.json)
      await printLines(linesOf(collection, { ...selection, include: given.include ?? 'all' }))
    else if (given.include === undefined || given.include === 'keys') await printKeys(collection, selection)
    else await printMembers(collection, { ...selection, include: given.include })
    return 0
  },
})

async function printCollections(kvist: Kvist, json: boolean): Promise<void> {
  const collections = await kvist.collections()
  const rows = collections.map(({ name, members, bytes }) => [name, `${members}`, `${bytes}`])
  await printLines(
    json ? collections.map((one) => JSON.stringify(one)) : tableLines(rows, ['NAME', 'MEMBERS', 'BYTES']),
  )
}

/** By page, so that a reader who takes his time, as a pager does, keeps no connection waiting. */
async function printKeys(collection: Collection<unknown>, selection: ListOptions): Promise<void> {
  const rows = (async function* () {
    for await (const { key } of collection.list({ ...selection, include: 'keys' })) yield [key]
  })()
  await printLines(tableLines(rows, ['KEY']))
}

async function printMembers(collection: Collection<unknown>, selection: ListOptions): Promise<void> {
  const columns =
    selection.include === 'all'
      ? { ...keyColumn, ...metadataColumns, ...valueColumn }
      : { ...keyColumn, ...valueColumn }
  const rows = (async function* () {
    for await (const line of linesOf(collection, selection)) {
      const member: Shown = parseExactly(line)
      yield Object.values(columns).map((column) => column(member))
    }
  })()
  await printLines(tableLines(rows, Object.keys(columns)))
}

/** A member as its line has it. */
type Shown = Partial<Stored> & {
  readonly key: string
  readonly value?: unknown
  readonly value_base64?: string
}

type Column = (member: Shown) => string
const keyColumn: Record<string, Column> = { KEY: ({ key }) => key }
const metadataColumns: Record<string, Column> = {
  REVISION: ({ revision }) => JSON.stringify(revision),
  UPDATED: ({ updated_at }) => updated_at ?? '',
  EXPIRES: ({ expires_at }) => expires_at ?? '-',
  TYPE: ({ content_type }) => content_type ?? '',
}
const valueColumn: Record<string, Column> = {
  VALUE: ({ value, value_base64 }) => value_base64 ?? JSON.stringify(value),
}
