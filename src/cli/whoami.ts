import { command } from './command.ts'
import { connect, connectionOptions, jsonOption } from './connection.ts'
import { showGrants } from './grants.ts'
import { print, printLines, tableLines } from './output.ts'

export const whoamiCommand = command('whoami', {
  summary: 'Show the name of the token, when it expires, and what it allows',
  operands: [],
  options: { json: jsonOption, ...connectionOptions },
  async run(given) {
    const identity = await connect(given).whoami()
    if (given.json) {
      await print(`${JSON.stringify(identity)}\n`)
      return 0
    }
    const row = [identity.name, identity.expires_at ?? 'never', showGrants(identity.grants)]
    await printLines(tableLines([row], ['NAME', 'EXPIRES', 'ALLOWS']))
    return 0
  },
})
