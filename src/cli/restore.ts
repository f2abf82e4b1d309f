import { setTimeout as sleep } from 'node:timers/promises'
import type { Collection, Kvist } from '../../sdk/client.ts'
import { KvistHttpError } from '../../sdk/client.ts'
import { type CollectionOfBackup, withCollection } from '../backup/collection.ts'
import { toggle } from '../option-kinds.ts'
import { folderPath } from '../option-values.ts'
import { option, refuse, type Values } from '../options.ts'
import { wallClockMs } from '../runtime/wall-clock.ts'
import { command } from './command.ts'
import { connect, connectionOptions, optionalText, quietOption } from './connection.ts'
import { complain } from './explain.ts'
import { startProgress } from './progress.ts'
import { archiveSourceOptions, type RestoreSource, sourceOf } from './restore-source.ts'

const options = {
  data: option<string | null>({
    ...folderPath,
    flag: 'data',
    default: null,
    help: 'restore the whole store into this folder, which is missing or empty',
  }),
  collection: option<string | null>({
    ...folderPath,
    unit: 'NAME',
    range: 'the name of a collection',
    flag: 'collection',
    short: 'c',
    default: null,
    help: 'restore this collection alone, into a running server',
  }),
  as: optionalText('as', 'NAME', 'the name that the collection gets; default: the one it had'),
  merge: option<boolean>({
    ...toggle(),
    flag: 'merge',
    default: false,
    help: 'restore into a collection that has members: those of the backup replace others of the same key',
  }),
  ...archiveSourceOptions,
  quiet: quietOption,
  ...connectionOptions,
}

type Given = Values<typeof options>

export const restoreCommand = command('restore', {
  summary: 'Put back a backup: the whole store into a new folder, or one collection into a running server',
  notes:
    'With --archive the store comes from an archive, as it was at a point in time. ' +
    'The backup is verified whole before anything is written. Into a folder (--data) everything comes back as it was at the revision of ' +
    'the backup, with the node id: where the other store lives on, start the copy with --new-node-id. Into a server (-c) come values, ' +
    'content types, flags, times of expiry and settings; revisions and times of creation are new.',
  operands: [{ name: 'FILE', help: 'the backup; none with --archive', optional: true }],
  options,
  async run(given, [file = '']) {
    const { data, collection } = given
    if (data !== null && collection !== null)
      refuse('--data restores the whole store, --collection one collection into a server: say one of them')
    if (data === null && collection === null)
      refuse(
        'say where to: --data FOLDER for the whole store, --collection NAME for one collection of a server',
      )
    const source = sourceOf(given, file, given.quiet)
    return collection === null
      ? restoreStore(given, source, data!)
      : restoreCollection(given, source, collection)
  },
})

async function restoreStore(given: Given, source: RestoreSource, folder: string): Promise<number> {
  if (given.as !== undefined || given.merge)
    refuse('--as and --merge are for one collection: --collection NAME')
  const restored = await source.restore(folder)
  if (!given.quiet) complain(`restored ${restored}: kvist serve --data ${folder}`)
  return 0
}

function restoreCollection(given: Given, source: RestoreSource, name: string): Promise<number> {
  const kvist = connect(given)
  const target = given.as ?? name
  return withCollection(source.restore, name, async (found) => {
    if (found === null) {
      complain(`${source.name} has no collection ${name}`)
      return 1
    }
    if (!given.merge) await requireEmpty(kvist, target)
    return send(given, kvist.collection(target), found)
  })
}

async function requireEmpty(kvist: Kvist, name: string): Promise<void> {
  const { collections } = await kvist.collectionsPage({ prefix: name, limit: 1 })
  const found = collections[0]
  if (found?.name === name && found.members !== null && found.members > 0)
    throw new Error(`${name} has ${found.members} members: say --as ANOTHER, or --merge to restore into it`)
}

async function send(given: Given, target: Collection<unknown>, found: CollectionOfBackup): Promise<number> {
  const { settings, members, blocks } = found
  const progress = await startProgress('restore', members, given.quiet)
  let [stored, failed, expired] = [0, 0, 0]
  try {
    if (settings !== null) await target.setSettings(JSON.parse(settings))
    for await (const block of blocks(wallClockMs())) {
      expired += block.expired
      if (block.members === 0) continue
      const summary = await patiently(() => target.importLines(block.lines))
      stored += summary.stored
      for (const { detail } of summary.failed) progress.complain(detail)
      failed += summary.failed.length + (summary.failed_more ?? 0)
      progress.update(stored + failed + expired, stored)
    }
  } finally {
    progress.stop()
  }
  const left = expired === 0 ? '' : `, left out ${expired} that have expired`
  if (!given.quiet) complain(`restored ${stored} members to ${target.name}, failed ${failed}${left}`)
  return failed === 0 ? 0 : 1
}

/** Tries of one request while the server is busy. */
const maxTries = 20

async function patiently<Result>(request: () => Promise<Result>): Promise<Result> {
  for (let tries = 1; ; tries++) {
    try {
      return await request()
    } catch (error) {
      const isBusy =
        error instanceof KvistHttpError && (error.code === 'busy' || error.code === 'rate_limited')
      if (!isBusy || tries === maxTries) throw error
      await sleep(500)
    }
  }
}
