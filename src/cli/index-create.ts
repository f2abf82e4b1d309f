import { setTimeout as sleep } from 'node:timers/promises'
import type { Collection, IndexSettings, Kvist } from '../../sdk/client.ts'
import { parseFields } from '../jsonpath/fields.ts'
import { toggle } from '../option-kinds.ts'
import { option, refuse } from '../options.ts'
import { changeSettings } from './change-settings.ts'
import { command } from './command.ts'
import { connect, connectionOptions, optionalText, quietOption } from './connection.ts'
import { complain } from './explain.ts'
import { startProgress } from './progress.ts'

const pollMs = 250

export const indexCreateCommand = command('index create', {
  summary: 'Create an index of a collection',
  notes:
    'The server builds it while the collection is in use; kvist index list shows how far it is, and --wait waits until it is ready. ' +
    'Other settings stay.',
  operands: [
    { name: 'COLLECTION', help: 'the collection' },
    { name: 'NAME', help: 'the name of the index' },
  ],
  options: {
    on: optionalText('on', 'FIELDS', 'one to four fields, the first one first: @.country,@.population'),
    unique: option({
      ...toggle(),
      flag: 'unique',
      default: false,
      help: 'no two members may have the same values in all of the fields',
    }),
    wait: option({ ...toggle(), flag: 'wait', default: false, help: 'wait until it is ready' }),
    quiet: quietOption,
    ...connectionOptions,
  },
  async run(given, [collectionName = '', name = '']) {
    const on = fieldsOf(given.on)
    const kvist = connect(given)
    const collection = kvist.collection(collectionName)
    const index = { name, on, ...(given.unique ? { unique: true } : {}) }
    await changeSettings(collection, ({ indexes }) => {
      const existing = indexes.find((one) => one.name === name)
      if (existing !== undefined && !isSame(existing, index))
        refuse(`${collectionName} has another index with the name ${name}: drop it first`)
      return existing === undefined ? { indexes: [...indexes, index] } : null
    })
    if (given.wait) return waitUntilReady(kvist, collection, name, given.quiet)
    if (!given.quiet)
      complain(`${name} is being built: kvist index list ${collectionName} shows how far it is`)
    return 0
  },
})

function fieldsOf(on: string | undefined): readonly string[] {
  if (on === undefined) refuse('index create needs --on: the fields, such as @.country,@.population')
  try {
    return parseFields(on).map(({ text }) => text)
  } catch (error) {
    refuse(`--on: ${error instanceof Error ? error.message : error}`)
  }
}

function isSame(a: IndexSettings, b: IndexSettings): boolean {
  return a.on.join() === b.on.join() && (a.unique ?? false) === (b.unique ?? false)
}

/** Shows how far the build is until it has ended. */
async function waitUntilReady(
  kvist: Kvist,
  collection: Collection<unknown>,
  name: string,
  quiet: boolean,
): Promise<number> {
  const { collections } = await kvist.collectionsPage({ prefix: collection.name, limit: 1 })
  const total = collections[0]?.name === collection.name ? collections[0].members : 0
  const progress = await startProgress('build', total, quiet)
  try {
    for (;;) {
      const { indexes } = await collection.settings()
      const index = indexes.find((one) => one.name === name)
      if (index === undefined) throw new Error(`the index ${name} was dropped`)
      if (index.state === 'failed')
        throw new Error(`the index ${name} cannot be built: ${index.failure ?? ''}`)
      if (index.state === 'ready') break
      progress.update(index.examined ?? 0, index.examined ?? 0)
      await sleep(pollMs)
    }
  } finally {
    progress.stop()
  }
  if (!quiet) complain(`${name} is ready`)
  return 0
}
