import { toggle } from '../option-kinds.ts'
import { option, refuse } from '../options.ts'
import { type Difference, differences } from '../replication/compare.ts'
import type { ComparedNode } from '../replication/compared-node.ts'
import {
  addCounts,
  type Choice,
  nothingSynced,
  type SyncCounts,
  stepOf,
  syncDifferences,
} from '../replication/sync.ts'
import { command } from './command.ts'
import {
  type ComparisonRun,
  comparedOperands,
  comparedOptions,
  differenceJson,
  differenceRow,
  nodesOf,
  startComparison,
} from './compared-nodes.ts'
import { complain } from './explain.ts'
import { printLines, tableLines } from './output.ts'

const flag = (name: string, help: string) => option({ ...toggle(), flag: name, default: false, help })

export const nodesSyncCommand = command('nodes sync', {
  summary: 'Make two servers equal: each gets what the other has later',
  notes:
    'Prints the members that one server has and the other may have deleted and forgotten. They stay as they are, unless --keep or ' +
    '--remove says what becomes of all of them; look at them with --dry-run first. Exit code: 0 if nothing is left to decide, ' +
    '1 otherwise. Needs tokens that grant replicate and read.',
  operands: comparedOperands,
  options: {
    ...comparedOptions,
    dryRun: flag('dry-run', 'print what would be done, and do nothing'),
    keep: flag('keep', 'copy members that the other server may have deleted'),
    remove: flag('remove', 'delete members that the other server may have deleted'),
  },
  async run(given, operands) {
    if (given.keep && given.remove) refuse('--keep and --remove contradict each other: leave one of them out')
    const choice: Choice = given.keep ? 'keep' : given.remove ? 'remove' : 'leave'
    const [a, b] = nodesOf(given, operands)
    const run = await startComparison(given)
    const sum = { counts: nothingSynced }
    try {
      const lines = syncing(a, b, run, { choice, isDry: given.dryRun, sum })
      await printLines(
        given.json ? jsonOf(lines) : tableLines(rowsOf(lines), ['STEP', 'COLLECTION', 'KEY', 'A', 'B']),
      )
    } finally {
      run.stop()
    }
    const { undecided, refused } = sum.counts
    if (!given.quiet) complain(summaryOf(sum.counts, given.dryRun))
    return undecided === 0 && refused === 0 && run.isWhole() ? 0 : 1
  },
})

interface How {
  readonly choice: Choice
  readonly isDry: boolean
  readonly sum: { counts: SyncCounts }
}

interface Line {
  readonly step: string
  readonly found: Difference
}

/** Syncs, and yields what is left; with a dry run everything that would be done. */
async function* syncing(
  a: ComparedNode,
  b: ComparedNode,
  { options }: ComparisonRun,
  { choice, isDry, sum }: How,
): AsyncGenerator<Line> {
  for await (const some of differences(a, b, options)) {
    sum.counts = addCounts(
      sum.counts,
      isDry ? planned(some, choice) : await syncDifferences(a, b, some, choice),
    )
    for (const found of some) {
      const step = stepOf(found, choice)
      if (isDry || step === 'leave') yield { step, found }
    }
  }
}

function planned(found: readonly Difference[], choice: Choice): SyncCounts {
  const count = (step: string) => found.filter((one) => stepOf(one, choice) === step).length
  return {
    ...nothingSynced,
    toA: count('to a'),
    toB: count('to b'),
    removed: count('remove'),
    undecided: count('leave'),
  }
}

async function* rowsOf(lines: AsyncIterable<Line>): AsyncGenerator<readonly string[]> {
  for await (const { step, found } of lines) yield [step, ...differenceRow(found).slice(0, 4)]
}

async function* jsonOf(lines: AsyncIterable<Line>): AsyncGenerator<string> {
  for await (const { step, found } of lines)
    yield JSON.stringify({ step, ...JSON.parse(differenceJson(found)) })
}

function summaryOf({ toA, toB, removed, undecided, refused, detail }: SyncCounts, isDry: boolean): string {
  const left = undecided === 0 ? '' : `, ${undecided} left: say --keep or --remove`
  const failed = refused === 0 ? '' : `, ${refused} refused (${detail})`
  return `${isDry ? 'would copy' : 'copied'} ${toA} to A and ${toB} to B, ${isDry ? 'remove' : 'removed'} ${removed}${left}${failed}`
}
