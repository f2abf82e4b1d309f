import type { CollectionInfo } from '../../sdk/client.ts'
import { command } from './command.ts'
import { connect, connectionOptions, jsonOption, optionalText } from './connection.ts'
import { printLines, tableLines } from './output.ts'

export const collectionsCommand = command('collections', {
  summary: 'List the collections with their numbers of members and bytes',
  notes: 'In columns: aligned on a terminal, otherwise with a tab between them.',
  operands: [],
  options: {
    prefix: optionalText('prefix', 'TEXT', 'only names that begin with this'),
    json: { ...jsonOption, help: 'print NDJSON' },
    ...connectionOptions,
  },
  async run(given) {
    const collections = connect(given).collections({ prefix: given.prefix })
    const headings = ['NAME', 'MEMBERS', 'BYTES']
    await printLines(given.json ? jsonLines(collections) : tableLines(rowsOf(collections), headings))
    return 0
  },
})

async function* jsonLines(collections: AsyncIterable<CollectionInfo>): AsyncGenerator<string> {
  for await (const collection of collections) yield JSON.stringify(collection)
}

async function* rowsOf(collections: AsyncIterable<CollectionInfo>): AsyncGenerator<readonly string[]> {
  for await (const { name, members, bytes } of collections)
    yield [name, `${members ?? '-'}`, `${bytes ?? '-'}`]
}
