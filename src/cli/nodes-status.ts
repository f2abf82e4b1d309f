import type { TargetStatus } from '../../sdk/client.ts'
import { command } from './command.ts'
import { connect, connectionOptions, jsonOption } from './connection.ts'
import { print, printLines, tableLines } from './output.ts'

export const nodesStatusCommand = command('nodes', {
  summary: 'Show the targets of a mirror, and how far they have come',
  notes: 'LAG is in changes that the target lacks, with the age of the oldest; - means not known yet.',
  operands: [],
  options: { json: jsonOption, ...connectionOptions },
  async run(given) {
    const status = await connect(given).nodes.status()
    if (given.json) {
      await print(`${JSON.stringify(status)}\n`)
      return 0
    }
    await printLines(
      tableLines(status.targets.map(rowOf), ['TARGET', 'STATE', 'LAG', 'SECONDS', 'SENT', 'LAST ERROR']),
    )
    return 0
  },
})

function rowOf(target: TargetStatus): readonly string[] {
  const { url, state, lag_changes: lag, lag_seconds: seconds, sent, last_error: error } = target
  return [url, state, lag === null ? '-' : `${lag}`, seconds.toFixed(1), `${sent}`, error?.detail ?? '-']
}
