import { command } from './command.ts'
import { connect, connectionOptions } from './connection.ts'
import { complain } from './explain.ts'

export const tokenRevokeCommand = command('token revoke', {
  summary: 'Revoke tokens at once',
  notes: 'Their next requests are refused, and watches, polls, imports and connections of them end.',
  operands: [
    { name: 'ID', help: 'the id of a token, or the token itself; several may be given', many: true },
  ],
  options: connectionOptions,
  async run(given, operands) {
    const { tokens } = connect(given)
    let missing = 0
    for (const id of operands.map(idOf)) {
      if (await tokens.revoke(id)) continue
      complain(`there is no token with the id ${id}: see kvist token list`)
      missing++
    }
    return missing === 0 ? 0 : 1
  },
})

/** Returns the id that a token contains: who finds one that leaked has that. */
function idOf(operand: string): string {
  return /^kvist_([0-9a-z]+)_/.exec(operand)?.[1] ?? operand
}
