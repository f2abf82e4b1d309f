import type { Collection, ListOptions, MemberKey, Stored } from '../../sdk/client.ts'
import { linesOf } from '../../sdk/lines.ts'
import { choice, toggle, wholeNumber } from '../option-kinds.ts'
import { option, refuse } from '../options.ts'
import { command } from './command.ts'
import { collectionOption, connect, connectionOptions, jsonOption, selectionOptions } from './connection.ts'
import { parseExactly } from './exact-json.ts'
import { printLines, tableLines } from './output.ts'
import { shownValue } from './watch-lines.ts'

type Include = 'keys' | 'values' | 'all'

export const listCommand = command('list', {
  summary: 'List the members of a collection',
  notes:
    'One key a line, control characters in it written as \\u000a. --include values and all give columns: aligned on a terminal, ' +
    'otherwise with a tab between them. For scripts, -0 gives keys exactly as they are with a zero byte after each, and ' +
    '--json one member a line with everything that the store knows of it.',
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
    null: option({
      ...toggle(),
      flag: 'null',
      short: '0',
      default: false,
      help: 'print keys as they are, with a zero byte after each, as xargs -0 takes them',
    }),
    json: { ...jsonOption, help: 'print NDJSON' },
    ...connectionOptions,
  },
  async run(given) {
    const { prefix, filter, match, from, to, order, limit, include } = given
    if (given.null && (given.json || (include ?? 'keys') !== 'keys'))
      refuse('-0 prints keys alone: it goes with neither --json nor --include')
    const selection = { prefix, filter, match, from, to, order, limit }
    const collection = connect(given).collection(given.collection)
    if (given.json)
      await printLines(linesOf(await collection.lines({ ...selection, include: include ?? 'all' })))
    else if (include === undefined || include === 'keys') await printKeys(collection, selection, given.null)
    else await printMembers(collection, { ...selection, include })
    return 0
  },
})

/** By page, so that a slow reader, such as a pager, keeps no connection waiting. */
async function printKeys(
  collection: Collection<unknown>,
  selection: ListOptions,
  endsWithZero: boolean,
): Promise<void> {
  const keys = collection.list({ ...selection, include: 'keys' })
  if (endsWithZero) await printLines(zeroFree(keys), '\0')
  else await printLines(tableLines(rowsOf(keys), ['KEY']))
}

async function* rowsOf(keys: AsyncIterable<MemberKey>): AsyncGenerator<readonly string[]> {
  for await (const { key } of keys) yield [key]
}

/** A key with a zero byte in it would be read as two. */
async function* zeroFree(keys: AsyncIterable<MemberKey>): AsyncGenerator<string> {
  for await (const { key } of keys) {
    if (key.includes('\0'))
      throw new Error(`the key ${JSON.stringify(key)} has a zero byte in it: use --json`)
    yield key
  }
}

async function printMembers(collection: Collection<unknown>, selection: ListOptions): Promise<void> {
  const columns =
    selection.include === 'all'
      ? { ...keyColumn, ...metadataColumns, ...valueColumn }
      : { ...keyColumn, ...valueColumn }
  const rows = (async function* () {
    for await (const line of linesOf(await collection.lines(selection))) {
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
  readonly value_text?: string
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
  VALUE: shownValue,
}
