import type { Collection, FindOptions } from '../../sdk/client.ts'
import { linesOf } from '../../sdk/lines.ts'
import { type FieldPath, parseFields } from '../jsonpath/fields.ts'
import { toggle, wholeNumber } from '../option-kinds.ts'
import { option, refuse } from '../options.ts'
import { command } from './command.ts'
import { connect, connectionOptions, jsonOption, optionalText, selectionOptions } from './connection.ts'
import { parseExactly } from './exact-json.ts'
import { print, printLines, tableLines } from './output.ts'
import { shownValue } from './watch-lines.ts'

const { where, prefix, filter, match, from, to } = selectionOptions

export const findCommand = command('find', {
  summary: 'Find members by what is in their values',
  notes:
    'On a terminal in columns, one for each of --fields; otherwise NDJSON, one member a line. A filter is a logical expression of ' +
    'JSONPath, in which @ is the value: --where \'@.country == "SE" && @.population >= 100000\'. See docs/find.md.',
  operands: [{ name: 'COLLECTION', help: 'the collection' }],
  options: {
    where,
    order: optionalText('order', 'FIELDS', 'by fields, with a minus descending: -@.population,@.name'),
    fields: optionalText('fields', 'FIELDS', 'only these fields of each value: @.name,@.population'),
    prefix,
    filter,
    match,
    from,
    to,
    limit: option<number | undefined>({
      ...wholeNumber(1, Number.MAX_SAFE_INTEGER),
      flag: 'limit',
      default: undefined,
      help: 'the maximum number of members',
    }),
    count: option({ ...toggle(), flag: 'count', default: false, help: 'print how many there are' }),
    explain: option({ ...toggle(), flag: 'explain', default: false, help: 'print how they would be found' }),
    json: { ...jsonOption, help: 'print NDJSON, also on a terminal' },
    ...connectionOptions,
  },
  async run(given, [name = '']) {
    const { order, fields, limit } = given
    const selection = { ...pick(given), order, fields, limit }
    if (given.count && given.explain) refuse('--count and --explain do not go together')
    if (given.count && (order ?? fields ?? limit) !== undefined)
      refuse('--count counts all that match: it goes with no --order, --fields and --limit')
    const collection = connect(given).collection(name)
    const isJson = given.json || !process.stdout.isTTY
    if (given.count) {
      const count = await collection.count(pick(given))
      await print(`${given.json ? JSON.stringify({ count }) : count}\n`)
    } else if (given.explain) await printExplanation(collection, selection, isJson)
    else if (isJson) await printLines(linesOf(await collection.findLines(selection)))
    else await printTable(collection, selection)
    return 0
  },
})

type Selected = Pick<FindOptions, 'where' | 'prefix' | 'filter' | 'match' | 'from' | 'to'>

function pick({ where, prefix, filter, match, from, to }: Selected): Selected {
  return { where, prefix, filter, match, from, to }
}

async function printExplanation(
  collection: Collection<unknown>,
  selection: FindOptions,
  isJson: boolean,
): Promise<void> {
  const found = await collection.explain(selection)
  if (isJson) return print(`${JSON.stringify(found)}\n`)
  const { index, examined, returned, sorted_in_memory: isSorted } = found
  const row = [index ?? '-', String(examined), String(returned), isSorted ? 'yes' : 'no']
  await printLines(tableLines([row], ['INDEX', 'EXAMINED', 'RETURNED', 'SORTED IN MEMORY']))
}

interface ShownMember {
  readonly key: string
  readonly value?: unknown
  readonly value_text?: string
  readonly value_base64?: string
}

/** Prints a column for the key and for each field; without fields, for the value. */
async function printTable(collection: Collection<unknown>, selection: FindOptions): Promise<void> {
  const paths = typeof selection.fields === 'string' ? parsedFields(selection.fields) : null
  const lines = linesOf(await collection.findLines({ ...selection, include: 'values' }))
  const rows = (async function* () {
    for await (const line of lines) {
      const member: ShownMember = parseExactly(line)
      const cells = paths === null ? [shownValue(member)] : paths.map((path) => cellOf(member.value, path))
      yield [member.key, ...cells]
    }
  })()
  await printLines(tableLines(rows, ['KEY', ...(paths?.map(({ text }) => text) ?? ['VALUE'])]))
}

function parsedFields(fields: string): readonly FieldPath[] {
  try {
    return parseFields(fields)
  } catch (error) {
    refuse(`--fields: ${error instanceof Error ? error.message : error}`)
  }
}

/** Returns what is at a path: text as it is, anything else as JSON. */
function cellOf(value: unknown, { segments }: FieldPath): string {
  let part = value
  for (const segment of segments) {
    if (typeof part !== 'object' || part === null || !Object.hasOwn(part, segment)) return ''
    part = Reflect.get(part, segment)
  }
  return typeof part === 'string' ? part : (JSON.stringify(part) ?? '')
}
