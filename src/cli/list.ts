import type { Collection, ListOptions, MemberKey, Page, Stored } from '../../sdk/client.ts'
import { linesOf } from '../../sdk/lines.ts'
import { choice, toggle, wholeNumber } from '../option-kinds.ts'
import { option, refuse } from '../options.ts'
import { command } from './command.ts'
import {
  collectionOption,
  connect,
  connectionOptions,
  jsonOption,
  optionalText,
  selectionOptions,
} from './connection.ts'
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
      help: 'the maximum number of members',
    }),
    include: option<Include | undefined>({
      ...choice<Include>('keys', 'values', 'all'),
      flag: 'include',
      default: undefined,
      help: 'what to print of each member',
    }),
    delimiter: optionalText(
      'delimiter',
      'TEXT',
      'one level of keys: what they share up to the next of these, as folders with /',
    ),
    null: option({
      ...toggle(),
      flag: 'null',
      short: '0',
      default: false,
      help: 'print keys unescaped, with a zero byte after each, for xargs -0',
    }),
    json: { ...jsonOption, help: 'print NDJSON' },
    ...connectionOptions,
  },
  async run(given) {
    const { where, prefix, filter, match, from, to, order, limit, include, delimiter } = given
    const isOfKeys = include === undefined || include === 'keys'
    if (given.null && (given.json || !isOfKeys))
      refuse('-0 prints keys alone: it goes with neither --json nor --include')
    if (delimiter !== undefined && !isOfKeys)
      refuse('--delimiter lists keys alone: it does not go with --include')
    const selection = { where, prefix, filter, match, from, to, order, limit }
    const collection = connect(given).collection(given.collection)
    if (delimiter !== undefined) {
      await printLevel(collection.pages({ ...selection, include: 'keys', delimiter }), given)
      return 0
    }
    if (given.json)
      await printLines(linesOf(await collection.lines({ ...selection, include: include ?? 'all' })))
    else if (isOfKeys) await printKeys(collection, selection, given.null)
    else await printMembers(collection, { ...selection, include })
    return 0
  },
})

/** Prints keys, fetched by page, so that a slow reader such as a pager keeps no connection open. */
async function printKeys(
  collection: Collection<unknown>,
  selection: ListOptions,
  endsWithZero: boolean,
): Promise<void> {
  const keys = collection.list({ ...selection, include: 'keys' })
  await printNames(namesOf(keys), endsWithZero)
}

async function* namesOf(keys: AsyncIterable<MemberKey>): AsyncGenerator<string> {
  for await (const { key } of keys) yield key
}

/** Prints the keys of one level and the prefixes of deeper ones, in the order of the list. */
async function printLevel(
  pages: AsyncIterable<Page<MemberKey>>,
  { json, null: endsWithZero, order }: { json: boolean; null: boolean; order: 'asc' | 'desc' | undefined },
): Promise<void> {
  const entries = levelOf(pages, order === 'desc' ? -1 : 1)
  if (json) await printLines(jsonLines(entries))
  else await printNames(entryNames(entries), endsWithZero)
}

type LevelEntry = MemberKey | { readonly prefix: string }

async function* levelOf(
  pages: AsyncIterable<Page<MemberKey>>,
  direction: 1 | -1,
): AsyncGenerator<LevelEntry> {
  for await (const { members, prefixes = [] } of pages) {
    const entries: LevelEntry[] = [...members, ...prefixes.map((prefix) => ({ prefix }))]
    yield* entries.sort((a, b) => direction * Buffer.compare(Buffer.from(nameOf(a)), Buffer.from(nameOf(b))))
  }
}

function nameOf(entry: LevelEntry): string {
  return 'key' in entry ? entry.key : entry.prefix
}

async function* entryNames(entries: AsyncIterable<LevelEntry>): AsyncGenerator<string> {
  for await (const entry of entries) yield nameOf(entry)
}

async function* jsonLines(entries: AsyncIterable<LevelEntry>): AsyncGenerator<string> {
  for await (const entry of entries) yield JSON.stringify(entry)
}

async function printNames(names: AsyncIterable<string>, endsWithZero: boolean): Promise<void> {
  if (endsWithZero) await printLines(zeroFree(names), '\0')
  else await printLines(tableLines(rowsOf(names), ['KEY']))
}

async function* rowsOf(names: AsyncIterable<string>): AsyncGenerator<readonly string[]> {
  for await (const name of names) yield [name]
}

/** Passes names through. Throws for a name with a zero byte, which would be read as two names. */
async function* zeroFree(names: AsyncIterable<string>): AsyncGenerator<string> {
  for await (const name of names) {
    if (name.includes('\0'))
      throw new Error(`the key ${JSON.stringify(name)} has a zero byte in it: use --json`)
    yield name
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

/** A member as a line of a list shows it. */
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
