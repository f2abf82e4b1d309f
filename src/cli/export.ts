import type { Kvist } from '../../sdk/client.ts'
import { toggle } from '../option-kinds.ts'
import { option, refuse } from '../options.ts'
import { command } from './command.ts'
import { collectionOption, connect, connectionOptions, quietOption, selectionOptions } from './connection.ts'
import { complain } from './explain.ts'
import { writeOutput } from './output-file.ts'
import { type Progress, startProgress } from './progress.ts'

export const exportCommand = command('export', {
  summary: 'Write the members of a collection to an NDJSON file',
  notes:
    'Each line is {"key": …, "value": …}, as kvist import takes them. FILE is replaced when the export is complete and ' +
    'left alone when it fails. A file that ends with .gz is packed. With --all the whole store is written, for kvist ' +
    'import --all: collections, settings and tokens, with all times and flags. It needs a token that grants read, replicate ' +
    'and admin on *.',
  operands: [{ name: 'FILE', help: 'the file; - is standard output' }],
  options: {
    collection: option<string | undefined>({
      ...collectionOption,
      default: undefined,
      help: `the collection; without it ${collectionOption.default}`,
    }),
    ...selectionOptions,
    all: option({ ...toggle(), flag: 'all', default: false, help: 'the whole store' }),
    noTokens: option({
      ...toggle(),
      flag: 'no-tokens',
      default: false,
      help: 'with --all: leave out tokens',
    }),
    quiet: quietOption,
    ...connectionOptions,
  },
  async run(given, [file = '']) {
    const kvist = connect(given)
    const { where, prefix, filter, match, from, to, order, all, noTokens, collection: named } = given
    if (all) {
      const isPart = [named, where, prefix, filter, match, from, to, order].some((one) => one !== undefined)
      if (isPart)
        refuse(
          '--all exports the whole store: it goes with no --collection, and nothing that selects members',
        )
      return (await import('./export-store.ts')).exportStore(kvist, file, { noTokens, quiet: given.quiet })
    }
    if (noTokens) refuse('--no-tokens goes with --all')
    const collection = named ?? collectionOption.default
    const isAll = [where, prefix, filter, match, from, to].every((condition) => condition === undefined)
    const total = isAll && process.stderr.isTTY ? await countMembers(kvist, collection) : null
    const selection = { where, prefix, filter, match, from, to, order, include: 'values' } as const
    const lines = await kvist.collection(collection).lines(selection)

    const progress = await startProgress('export', total, given.quiet)
    const count = { members: 0 }
    const counted = counting(lines, count, progress)
    try {
      await writeOutput(file, counted)
    } finally {
      progress.stop()
    }
    if (!given.quiet) complain(`exported ${count.members}`)
    return 0
  },
})

/** Returns the number of members; null if the token shows only a part of the collection. */
async function countMembers(kvist: Kvist, collection: string): Promise<number | null> {
  const { collections } = await kvist.collectionsPage({ prefix: collection, limit: 1 })
  return collections[0]?.name === collection ? collections[0].members : 0
}

async function* counting(
  chunks: AsyncIterable<Uint8Array>,
  count: { members: number },
  progress: Progress,
): AsyncGenerator<Uint8Array> {
  for await (const chunk of chunks) {
    for (let at = chunk.indexOf(10); at >= 0; at = chunk.indexOf(10, at + 1)) count.members++
    progress.update(count.members, count.members)
    yield chunk
  }
}
