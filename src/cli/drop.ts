import { toggle } from '../option-kinds.ts'
import { option, refuse } from '../options.ts'
import { command } from './command.ts'
import { connect, connectionOptions, jsonOption, optionalText, selectionOptions } from './connection.ts'
import { complain } from './explain.ts'
import { print } from './output.ts'

const { where, prefix, filter, match, from, to } = selectionOptions

export const dropCommand = command('drop', {
  summary: 'Delete all members of a collection, or those that are selected',
  notes: 'It asks first, on a terminal; a script says --yes.',
  operands: [],
  options: {
    collection: { ...optionalText('collection', 'NAME', 'the collection; it must be named'), short: 'c' },
    where,
    prefix,
    filter,
    match,
    from,
    to,
    yes: option({ ...toggle(), flag: 'yes', short: 'y', default: false, help: 'do not ask' }),
    json: { ...jsonOption, help: 'print the number of deleted members, as JSON' },
    ...connectionOptions,
  },
  async run(given) {
    if (given.collection === undefined) refuse('drop needs --collection: the collection to delete from')
    const collection = connect(given).collection(given.collection)
    const selectors = ['where', 'prefix', 'filter', 'match', 'from', 'to'] as const
    const selection = Object.fromEntries(
      selectors.flatMap((name) => (given[name] === undefined ? [] : [[name, given[name]]])),
    )
    if (!given.yes && !(await isConfirmed(given.collection, selection))) {
      complain('nothing was deleted')
      return 1
    }
    const deleted = await collection.drop(selection)
    if (given.json) await print(`${JSON.stringify({ deleted })}\n`)
    else complain(`deleted ${deleted}`)
    return 0
  },
})

async function isConfirmed(
  collection: string,
  selection: Readonly<Record<string, string>>,
): Promise<boolean> {
  if (!process.stdin.isTTY) refuse('drop asks before it deletes, and there is no terminal: say --yes')
  const conditions = Object.entries(selection).map(([name, value]) => `${name} ${JSON.stringify(value)}`)
  const which = conditions.length === 0 ? 'ALL members' : `the members with ${conditions.join(', ')}`
  const { prompt } = await import('./prompt.ts')
  const reply = await prompt(`delete ${which} of ${JSON.stringify(collection)}? [y/N] `)
  return /^y(es)?$/i.test(reply.trim())
}
