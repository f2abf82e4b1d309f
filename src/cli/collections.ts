import { command } from './command.ts'
import { connect, connectionOptions, jsonOption } from './connection.ts'
import { printLines, tableLines } from './output.ts'

export const collectionsCommand = command('collections', {
  summary: 'List the collections, with how many members and bytes they have',
  notes: 'In columns: aligned on a terminal, otherwise with a tab between them.',
  operands: [],
  options: { json: { ...jsonOption, help: 'print NDJSON' }, ...connectionOptions },
  async run(given) {
    const collections = await connect(given).collections()
    const rows = collections.map(({ name, members, bytes }) => [name, `${members}`, `${bytes}`])
    await printLines(
      given.json
        ? collections.map((collection) => JSON.stringify(collection))
        : tableLines(rows, ['NAME', 'MEMBERS', 'BYTES']),
    )
    return 0
  },
})
