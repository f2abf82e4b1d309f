import { anyText, list, toggle } from '../option-kinds.ts'
import { option } from '../options.ts'
import { command } from './command.ts'
import { connect, connectionOptions } from './connection.ts'

/** An agent waits for each call, and nobody watches: calls end by themselves, and survive a short loss of the server. */
const limits = { retries: 2, timeoutMs: 30_000 }

export const mcpCommand = command('mcp', {
  summary: 'Serve the store to AI agents, by the Model Context Protocol',
  notes:
    'On standard input and output: an MCP client starts it. Agents can read what the token may read; with --write they can also ' +
    'store and delete. Messages go to standard error.',
  operands: [],
  options: {
    write: option({
      ...toggle(),
      flag: 'write',
      default: false,
      help: 'let agents store and delete; without it they only read',
    }),
    collection: option<readonly string[]>({
      ...list(anyText('NAME')),
      flag: 'collection',
      short: 'c',
      default: [],
      help: 'show only this collection; without it all that the token may read',
    }),
    ...connectionOptions,
  },
  async run(given) {
    const { serveMcp } = await import('./mcp/server.ts')
    const { collection, write } = given
    const collections = collection.length === 0 ? null : collection
    await serveMcp({ kvist: connect(given, limits), collections, canWrite: write })
    return 0
  },
})
