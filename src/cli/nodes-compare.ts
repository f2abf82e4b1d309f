import { type Difference, differences } from '../replication/compare.ts'
import { command } from './command.ts'
import {
  comparedOperands,
  comparedOptions,
  differenceHeadings,
  differenceJson,
  differenceRow,
  nodesOf,
  startComparison,
} from './compared-nodes.ts'
import { complain } from './explain.ts'
import { printLines, tableLines } from './output.ts'

export const nodesCompareCommand = command('nodes compare', {
  summary: 'Show which members two servers have different versions of',
  notes:
    'A and B say what each server has: put, delete or expire, with time and node of the write, or - for nothing. NEWER is the side ' +
    'whose version holds, or ? if the other side may have deleted the member and forgotten it. Exit code: 0 if there is no ' +
    'difference, 1 if there is one. Needs tokens that grant replicate.',
  operands: comparedOperands,
  options: comparedOptions,
  async run(given, operands) {
    const run = await startComparison(given)
    const [a, b] = nodesOf(given, operands)
    const count = { differences: 0 }
    try {
      const found = counted(differences(a, b, run.options), count)
      await printLines(
        given.json
          ? mapped(found, differenceJson)
          : tableLines(mapped(found, differenceRow), differenceHeadings),
      )
    } finally {
      run.stop()
    }
    if (!given.quiet) complain(`compared ${run.members()} members of A: ${count.differences} differ`)
    return count.differences === 0 && run.isWhole() ? 0 : 1
  },
})

async function* counted(
  found: AsyncIterable<readonly Difference[]>,
  count: { differences: number },
): AsyncGenerator<Difference> {
  for await (const some of found) {
    count.differences += some.length
    yield* some
  }
}

async function* mapped<T, R>(items: AsyncIterable<T>, map: (one: T) => R): AsyncGenerator<R> {
  for await (const one of items) yield map(one)
}
