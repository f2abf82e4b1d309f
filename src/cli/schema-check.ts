import type { BrokenMember, Collection, JsonSchema } from '../../sdk/client.ts'
import { command } from './command.ts'
import { connect, connectionOptions, jsonOption, quietOption } from './connection.ts'
import { complain } from './explain.ts'
import { printLines, tableLines } from './output.ts'
import { type Progress, startProgress } from './progress.ts'
import { readSchema } from './schema-settings.ts'

export const schemaCheckCommand = command('schema check', {
  summary: 'List the members that break a JSON Schema',
  notes:
    'Those that would break the one in FILE, which is not set, or that break the one that is set. In columns, a line for each ' +
    'violation: aligned on a terminal, otherwise with a tab between them. Ends with 1 when there are any. It needs a token that ' +
    'grants admin and read.',
  operands: [
    { name: 'COLLECTION', help: 'the collection' },
    { name: 'FILE', help: 'a JSON Schema (2020-12); - is standard input', optional: true },
  ],
  options: {
    json: { ...jsonOption, help: 'print NDJSON, a line for each member' },
    quiet: quietOption,
    ...connectionOptions,
  },
  async run(given, [name = '', file]) {
    const schema = file === undefined ? null : await readSchema(file)
    const kvist = connect(given)
    const { collections } = await kvist.collectionsPage({ prefix: name, limit: 1 })
    const total = collections[0]?.name === name ? collections[0].members : 0
    const progress = await startProgress('check', total, given.quiet)
    const count = { checked: 0, broken: 0 }
    const broken = brokenMembers(kvist.collection(name), schema, count, progress)
    try {
      await printLines(given.json ? jsonLines(broken) : tableLines(rowsOf(broken), ['KEY', 'AT', 'REASON']))
    } finally {
      progress.stop()
    }
    if (!given.quiet) complain(`checked ${count.checked}, ${count.broken} break the schema`)
    return count.broken === 0 ? 0 : 1
  },
})

async function* brokenMembers(
  collection: Collection<unknown>,
  schema: JsonSchema | null,
  count: { checked: number; broken: number },
  progress: Progress,
): AsyncGenerator<BrokenMember> {
  let cursor: string | undefined
  do {
    const part = await collection.checkSchema(schema, { limit: 1000, cursor })
    count.checked += part.checked
    count.broken += part.broken.length
    progress.update(count.checked, count.checked)
    yield* part.broken
    cursor = part.next ?? undefined
  } while (cursor !== undefined)
}

async function* jsonLines(broken: AsyncIterable<BrokenMember>): AsyncGenerator<string> {
  for await (const member of broken) yield JSON.stringify(member)
}

async function* rowsOf(broken: AsyncIterable<BrokenMember>): AsyncGenerator<readonly string[]> {
  for await (const { key, violations } of broken) {
    for (const { pointer, reason } of violations) yield [key, pointer, reason]
  }
}
