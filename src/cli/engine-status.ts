import type { EngineLine, EnginePrimary } from '../../sdk/client.ts'
import { command } from './command.ts'
import { connect, connectionOptions, jsonOption } from './connection.ts'
import { print, printLines, tableLines } from './output.ts'

export const engineStatusCommand = command('engine status', {
  summary: 'Show the engine, the Redis servers that have the store, and its lines',
  notes:
    'LAG is in bytes that the replica has not acknowledged. GAPS counts how often another Redis server has taken over a line, at which ' +
    'acknowledged writes can have been lost. - means that it could not be asked.',
  operands: [],
  options: { json: jsonOption, ...connectionOptions },
  async run(given) {
    const status = await connect(given).engine()
    if (given.json) {
      await print(`${JSON.stringify(status)}\n`)
      return 0
    }
    const { engine, primaries, lines } = status
    await print(`${engine}\n`)
    if (primaries.length === 0) return 0
    await printLines(
      tableLines(primaries.flatMap(serverRows), ['SERVER', 'ROLE', 'VERSION', 'SLOTS', 'MEMORY', 'LAG']),
    )
    await printLines(
      tableLines(lines.map(lineRow), [
        'LINE',
        'SERVER',
        'MEMBERS',
        'TOMBSTONES',
        'MEMORY',
        'GAPS',
        'CURRENT',
      ]),
    )
    return 0
  },
})

function serverRows({ address, version, slots, memory_bytes: memory, replicas }: EnginePrimary) {
  return [
    [address, 'primary', version ?? '-', `${slots}`, known(memory), '-'],
    ...replicas.map((replica) => [replica.address, 'replica', '-', '-', '-', known(replica.lag_bytes)]),
  ]
}

function lineRow({
  line,
  primary,
  revision,
  reported,
  members,
  tombstones,
  memory_bytes: memory,
  gaps,
}: EngineLine) {
  const current = revision === null ? '-' : reported >= revision ? 'yes' : 'no'
  return [`${line}`, primary ?? '-', known(members), known(tombstones), known(memory), known(gaps), current]
}

function known(value: number | null): string {
  return value === null ? '-' : `${value}`
}
