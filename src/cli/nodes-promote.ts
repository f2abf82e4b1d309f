import type { LeaderStatus, PromoteResult } from '../../sdk/client.ts'
import { toggle } from '../option-kinds.ts'
import { option } from '../options.ts'
import { command } from './command.ts'
import { connect, connectionOptions, jsonOption } from './connection.ts'
import { print, printLines } from './output.ts'

export const nodesPromoteCommand = command('nodes promote', {
  summary: 'Make a follower the leader, which takes writes',
  notes:
    'URL is the follower as clients reach it; the former leader sends their writes there. The former leader is told, and ' +
    'the follower gets what it lacks. If the leader is gone, stop its machine and use --force.',
  operands: [{ name: 'URL', help: 'the follower; default: as of --url', optional: true }],
  options: {
    force: option({
      ...toggle(),
      flag: 'force',
      default: false,
      help: 'also if the leader does not respond, or this server has not had everything',
    }),
    json: jsonOption,
    ...connectionOptions,
  },
  async run({ force, json, ...given }, [operand]) {
    const kvist = connect({ ...given, url: operand ?? given.url })
    const result = await kvist.nodes.promote({ url: kvist.url, force })
    if (json) await print(`${JSON.stringify(result)}\n`)
    else await printLines(linesOf(kvist.url, result))
    return 0
  },
})

function linesOf(url: string, { term, former_leader: former, before }: PromoteResult): readonly string[] {
  return [
    `${url} is the leader (term ${term})`,
    ...(before === null
      ? []
      : [`${before.url} was followed: ${lackOf(before, former?.is_demoted === true)}`]),
    ...(former === null ? [] : [formerLine(former)]),
  ]
}

/** Says what the former leader may have had that the new one lacks. */
function lackOf({ last_current_at: at, state, received }: LeaderStatus, isDemoted: boolean): string {
  if (isDemoted) return 'everything that it had is here'
  if (at === null) return `not everything that it had is here (${state}, ${received} changes received)`
  return `everything that it had at ${at} is here; what it acknowledged after that may not be`
}

function formerLine({
  url,
  is_demoted: isDemoted,
  failure,
}: NonNullable<PromoteResult['former_leader']>): string {
  return isDemoted
    ? `${url} takes no writes any more: start it with --follow`
    : `${url} could not be told (${failure}): it is told when it is back; start it with --follow`
}
