import type { FollowerStatus, NodesStatus, OriginStatus, TargetStatus } from '../../sdk/client.ts'
import { command } from './command.ts'
import { connect, connectionOptions, jsonOption } from './connection.ts'
import { print, printLines, tableLines } from './output.ts'

export const nodesStatusCommand = command('nodes', {
  summary:
    'Show the targets of a mirror, the leader and the followers, how far they have come, and the origins of a cache',
  notes:
    'LAG is in changes that the target lacks, with the age of the oldest; - means not known yet. HEALED has the targets of a server ' +
    'with --heal-every: members that they had missed and got, and those that kvist nodes sync has to decide on.',
  operands: [],
  options: { json: jsonOption, ...connectionOptions },
  async run(given) {
    const status = await connect(given).nodes.status()
    if (given.json) {
      await print(`${JSON.stringify(status)}\n`)
      return 0
    }
    if (status.origins !== undefined) {
      const rows = status.origins.map(originRow)
      await printLines(tableLines(rows, ['ORIGIN', 'STATE', 'NODE', 'FAILURES', 'LAST ERROR']))
      return 0
    }
    if (status.leader !== null) {
      const rows = [leaderRow(status.role, status.leader)]
      await printLines(
        tableLines(rows, ['LEADER', 'STATE', 'LAST CURRENT', 'RECEIVED', 'MERGED', 'LAST ERROR']),
      )
    }
    if (status.followers.length > 0)
      await printLines(tableLines(status.followers.map(followerRow), ['FOLLOWER', 'STATE', 'LAST SEEN']))
    if (status.targets.length === 0 && (status.leader !== null || status.followers.length > 0)) return 0
    await printLines(
      tableLines(status.targets.map(rowOf), ['TARGET', 'STATE', 'LAG', 'SECONDS', 'SENT', 'LAST ERROR']),
    )
    const healed = status.targets.flatMap(healRow)
    if (healed.length > 0)
      await printLines(tableLines(healed, ['HEALED', 'LAST RUN', 'MENDED', 'UNDECIDED', 'LAST ERROR']))
    return 0
  },
})

function leaderRow(role: string, leader: NonNullable<NodesStatus['leader']>): readonly string[] {
  if (!('state' in leader)) return [leader.url, role, '-', '-', '-', '-']
  const { url, state, last_current_at: at, received, merged = 0, last_error: error } = leader
  return [url, state, at ?? '-', `${received}`, `${merged}`, error?.detail ?? '-']
}

function originRow({ url, state, node, failures, last_error: error }: OriginStatus): readonly string[] {
  return [url, state, node ?? '-', `${failures}`, error?.detail ?? '-']
}

function followerRow({ node, is_current: isCurrent, last_seen_at: at }: FollowerStatus): readonly string[] {
  return [node, isCurrent ? 'current' : 'behind', at]
}

function healRow({ url, heal }: TargetStatus): readonly (readonly string[])[] {
  if (heal === null) return []
  const { last_run_at: at, mended, undecided, last_error: error } = heal
  return [[url, at ?? '-', `${mended}`, `${undecided}`, error?.detail ?? '-']]
}

function rowOf(target: TargetStatus): readonly string[] {
  const { url, state, lag_changes: lag, lag_seconds: seconds, sent, last_error: error } = target
  return [url, state, lag === null ? '-' : `${lag}`, seconds.toFixed(1), `${sent}`, error?.detail ?? '-']
}
