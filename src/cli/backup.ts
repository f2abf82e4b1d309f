import { rmSync } from 'node:fs'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { version } from '../../package.json'
import { backupName } from '../backup/folder.ts'
import type { Manifest } from '../backup/format.ts'
import { RefusedBackup } from '../backup/format.ts'
import { withOfflineBackup } from '../backup/offline.ts'
import { startSchedule } from '../backup/schedule.ts'
import { copyVerified, partOf, writeBackupFile } from '../backup/write-backup.ts'
import { defaultKeep, everyKind, keepKind } from '../backup-options.ts'
import { realTimers } from '../core/timers.ts'
import { folderPath } from '../option-values.ts'
import { option, refuse, type Values } from '../options.ts'
import { monotonicMs } from '../runtime/clock.ts'
import { wallClockMs } from '../runtime/wall-clock.ts'
import { command } from './command.ts'
import { connect, connectionOptions, quietOption } from './connection.ts'
import { complain, explain } from './explain.ts'
import { print } from './output.ts'
import { startProgress } from './progress.ts'
import { beforeSignalEnds } from './signals.ts'

const options = {
  data: option<string | null>({
    ...folderPath,
    flag: 'data',
    default: null,
    help: 'the data folder of a server that does not run, in place of a running server',
  }),
  everyMs: option<number | null>({
    ...everyKind,
    flag: 'every',
    default: null,
    help: 'go on, and take one this often, into the folder --to',
  }),
  keep: option<number>({
    ...keepKind,
    flag: 'keep',
    default: defaultKeep,
    help: 'how many of the newest backups stay in --to',
  }),
  to: option<string | null>({ ...folderPath, flag: 'to', default: null, help: 'the folder, with --every' }),
  quiet: quietOption,
  ...connectionOptions,
}

type Given = Values<typeof options>

export const backupCommand = command('backup', {
  summary: 'Write the whole store to a file while it is in use',
  notes:
    'The file has everything as of one moment, settings and tokens included: keep it as safe as the store. FILE gets its name only when ' +
    'it is whole, verified and on disk. A server takes backups by itself with kvist serve --backup-to. kvist restore puts one back.',
  operands: [{ name: 'FILE', help: 'the file; - is standard output', optional: true }],
  options,
  async run(given, [file]) {
    if (given.everyMs !== null || given.to !== null) return repeat(given, file)
    if (file === undefined) refuse('name the file to write, or - for standard output')
    if (file === '-' && process.stdout.isTTY)
      refuse('a backup is not for a terminal: name a file, or send standard output to a program')
    const { revision } = file === '-' ? await copy(given, print) : await writeTo(given, file)
    if (!given.quiet && file !== '-') complain(`backed up revision ${revision} to ${file}`)
    return 0
  },
})

/** Writes a backup to a file, all or nothing; a pipe or a device is written directly. */
async function writeTo(given: Given, file: string): Promise<Manifest> {
  const found = await stat(file).catch(() => null)
  if (found !== null && !found.isFile() && !found.isDirectory()) {
    const { open } = await import('node:fs/promises')
    const device = await open(file, 'w')
    try {
      return await copy(given, (chunk) => device.appendFile(chunk))
    } finally {
      await device.close()
    }
  }
  beforeSignalEnds(() => rmSync(partOf(file), { force: true }))
  return writeBackupFile(file, (write) => copy(given, write))
}

/** Gets a backup from the server, or from a folder, and passes it on. Throws unless it is whole. */
async function copy(given: Given, write: (chunk: Uint8Array) => Promise<void>): Promise<Manifest> {
  const progress = await startProgress('backup', null, given.quiet)
  let bytes = 0
  async function counted(chunk: Uint8Array, manifest: Manifest | null): Promise<void> {
    await write(chunk)
    bytes += chunk.length
    progress.update(bytes, manifest?.members ?? 0)
  }
  try {
    if (given.data === null) return await copyVerified(await connect(given).backup(), counted)
    const source = { now: wallClockMs, version, warn: complain }
    return await withOfflineBackup(given.data, source, (backup) => copyVerified(chunksOf(backup), counted))
  } catch (error) {
    if (error instanceof RefusedBackup) throw new Error(`the backup did not arrive whole: ${error.message}`)
    throw error
  } finally {
    progress.stop()
  }
}

async function* chunksOf(backup: { next(): Promise<Uint8Array | null> }): AsyncGenerator<Uint8Array> {
  for (let chunk = await backup.next(); chunk !== null; chunk = await backup.next()) yield chunk
}

/** Takes backups into a folder until a signal comes. */
async function repeat(given: Given, file: string | undefined): Promise<number> {
  const { everyMs, to, keep } = given
  if (everyMs === null || to === null) refuse('--every and --to need each other: --every 24h --to FOLDER')
  if (file !== undefined) refuse('--every writes to the folder --to: leave the file out')
  if (given.data !== null) refuse('--every takes backups of a running server: leave --data out')
  connect(given)
  startSchedule({
    folder: to,
    everyMs,
    keep,
    take: (folder) => takeInto(given, folder),
    now: wallClockMs,
    monotonicMs,
    timers: realTimers,
    log: {
      info: given.quiet ? () => {} : complain,
      warn: complain,
      error: (error) => complain(lineOf(error)),
    },
  })
  for (;;) await sleep(24 * 3_600_000)
}

async function takeInto(given: Given, folder: string): Promise<{ manifest: Manifest; bytes: number }> {
  const { rename } = await import('node:fs/promises')
  const part = join(folder, 'backup-new.kvist')
  const manifest = await writeBackupFile(part, (write) => copy({ ...given, quiet: true }, write))
  const path = join(folder, backupName(manifest))
  await rename(part, path)
  return { manifest, bytes: (await stat(path)).size }
}

function lineOf(error: unknown): string {
  const cause = error instanceof Error ? error.cause : undefined
  return `${explain(error).line}${cause === undefined ? '' : `: ${explain(cause).line}`}`
}
