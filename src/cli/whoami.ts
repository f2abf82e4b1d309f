import { command } from './command.ts'
import { connect, connectionOptions, jsonOption } from './connection.ts'
import { showGrants } from './grants.ts'
import { print, printLines, tableLines } from './output.ts'

export const whoamiCommand = command('whoami', {
  summary: 'Show the name of the token, what it allows, and when it expires',
  operands: [],
  options: { json: jsonOption, ...connectionOptions },
  async run(given) {
    const identity = await connect(given).whoami()
    if (given.json) {
      await print(`${JSON.stringify(identity)}\n`)
      return 0
    }
    const { name, grants, rate_limit: rate = '-', expires_at: expiresAt } = identity
    const row = [name, showGrants(grants), rate, expiresAt ?? 'never']
    await printLines(tableLines([row], ['NAME', 'ALLOWS', 'RATE', 'EXPIRES']))
    return 0
  },
})
