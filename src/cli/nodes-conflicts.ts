import type { Conflict, ConflictsPage, Kvist } from '../../sdk/client.ts'
import { text } from '../option-kinds.ts'
import { option } from '../options.ts'
import { command } from './command.ts'
import { connect, connectionOptions, jsonOption } from './connection.ts'
import { complain } from './explain.ts'
import { printLines, tableLines } from './output.ts'

export const nodesConflictsCommand = command('nodes conflicts', {
  summary: 'List the versions that were lost because two servers wrote the same member apart',
  notes:
    'The version that was written last comes first. LOST and KEPT are the node and the time of the two writes. ' +
    'Values are in --json. A version is listed as long as tombstones are kept.',
  operands: [],
  options: {
    collection: option<string | null>({
      ...text('COLLECTION', 'the name of a collection', (given) => (given === '' ? null : given)),
      flag: 'collection',
      default: null,
      help: 'only the conflicts in this collection',
    }),
    json: { ...jsonOption, help: 'print NDJSON' },
    ...connectionOptions,
  },
  async run(given) {
    const unlisted = { count: 0 }
    const conflicts = allConflicts(connect(given), given.collection ?? undefined, unlisted)
    await printLines(given.json ? jsonLines(conflicts) : tableLines(rowsOf(conflicts), headings))
    if (unlisted.count > 0) complain(`${unlisted.count} more are not listed: there were too many`)
    return 0
  },
})

const headings = ['SEEN', 'COLLECTION', 'KEY', 'TYPE', 'LOST', 'KEPT']

/** Yields all conflicts, and sets the count of those that are not listed. */
async function* allConflicts(
  { nodes }: Kvist,
  collection: string | undefined,
  unlisted: { count: number },
): AsyncGenerator<Conflict> {
  let cursor: string | null | undefined
  while (cursor !== null) {
    const page: ConflictsPage = await nodes.conflicts({ collection, limit: 1000, cursor })
    yield* page.conflicts
    unlisted.count = page.unlisted ?? 0
    cursor = page.next
  }
}

async function* jsonLines(conflicts: AsyncIterable<Conflict>): AsyncGenerator<string> {
  for await (const one of conflicts) yield JSON.stringify(one)
}

async function* rowsOf(conflicts: AsyncIterable<Conflict>): AsyncGenerator<readonly string[]> {
  for await (const { seen_at, collection, key, lost, kept } of conflicts)
    yield [seen_at, collection, key, lost.type, writer(lost), writer(kept)]
}

function writer({ origin, written_at }: Conflict['kept']): string {
  return `${origin.node} ${written_at}`
}
