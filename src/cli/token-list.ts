import type { Token } from '../../sdk/client.ts'
import { command } from './command.ts'
import { connect, connectionOptions, jsonOption } from './connection.ts'
import { showGrants } from './grants.ts'
import { printLines, tableLines } from './output.ts'

export const tokenListCommand = command('token list', {
  summary: 'List the tokens, the oldest first',
  notes:
    'In columns: aligned on a terminal, otherwise with a tab between them. The last use is known to the hour. ' +
    'Tokens themselves are not shown: the server does not know them.',
  operands: [],
  options: { json: { ...jsonOption, help: 'print NDJSON' }, ...connectionOptions },
  async run(given) {
    const tokens = await connect(given).tokens.list()
    const headings = ['ID', 'NAME', 'ALLOWS', 'RATE', 'EXPIRES', 'LAST USED', 'SUBJECT']
    await printLines(
      given.json ? tokens.map((token) => JSON.stringify(token)) : tableLines(tokens.map(rowOf), headings),
    )
    return 0
  },
})

function rowOf(token: Token): readonly string[] {
  const { id, name, grants, rate_limit: rate = '-', expires_at, last_used_at, subject = '-' } = token
  return [id, name, showGrants(grants), rate, expires_at ?? 'never', last_used_at ?? 'never', subject]
}
