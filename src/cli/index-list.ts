import type { IndexSettings } from '../../sdk/client.ts'
import { command } from './command.ts'
import { connect, connectionOptions, jsonOption } from './connection.ts'
import { printLines, tableLines } from './output.ts'

export const indexListCommand = command('index list', {
  summary: 'List the indexes of a collection, and how far their builds are',
  notes: 'In columns: aligned on a terminal, otherwise with a tab between them.',
  operands: [{ name: 'COLLECTION', help: 'the collection' }],
  options: { json: { ...jsonOption, help: 'print NDJSON' }, ...connectionOptions },
  async run(given, [name = '']) {
    const { indexes } = await connect(given).collection(name).settings()
    const headings = ['NAME', 'ON', 'UNIQUE', 'STATE', 'EXAMINED', 'FAILURE']
    await printLines(
      given.json ? indexes.map((one) => JSON.stringify(one)) : tableLines(indexes.map(rowOf), headings),
    )
    return 0
  },
})

function rowOf({ name, on, unique, state, examined, failure }: IndexSettings): readonly string[] {
  return [
    name,
    on.join(','),
    unique === true ? 'yes' : 'no',
    state ?? '-',
    `${examined ?? '-'}`,
    failure ?? '-',
  ]
}
