import { statSync } from 'node:fs'
import { restoreBackup } from '../backup/restore.ts'
import { restorePoint } from '../backup/restore-point.ts'
import type { Point } from '../core/archive.ts'
import { formatTime, parseTimeMs } from '../core/time.ts'
import { wholeNumber } from '../option-kinds.ts'
import { option, refuse, type Values } from '../options.ts'
import { optionalText } from './connection.ts'
import { startProgress } from './progress.ts'

/** What a restore takes a store from: a backup, or an archive at a point in time. */
export interface RestoreSource {
  /** As messages call it. */
  readonly name: string
  /** Restores the whole store into a folder that is missing or empty. Resolves with what was restored, in words. */
  restore(folder: string): Promise<string>
}

export const archiveSourceOptions = {
  archive: optionalText(
    'archive',
    'FOLDER',
    'restore from this archive, in place of a backup; without --at, the newest it has',
  ),
  at: optionalText('at', 'TIME', 'with --archive: as it was then, 2026-11-27T10:15:00Z say'),
  atRevision: option<number | undefined>({
    ...wholeNumber(0, Number.MAX_SAFE_INTEGER),
    flag: 'at-revision',
    default: undefined,
    help: 'with --archive: as it was after this revision',
  }),
}

type Given = Values<typeof archiveSourceOptions>

/** Returns the source that the arguments name. Throws UsageError. */
export function sourceOf(given: Given, file: string, isQuiet: boolean): RestoreSource {
  const { archive, at, atRevision } = given
  if (archive === undefined) {
    if ((at ?? atRevision) !== undefined)
      refuse('--at and --at-revision are for an archive: say --archive FOLDER')
    if (file === '') refuse('say what from: FILE, a backup, or --archive FOLDER')
    return { name: file, restore: (folder) => fromBackup(file, folder, isQuiet) }
  }
  if (file !== '') refuse(`--archive ${archive} and the backup ${file} are two sources: say one of them`)
  if (at !== undefined && atRevision !== undefined)
    refuse('--at and --at-revision are two points: say one of them')
  const point = atRevision === undefined ? timeOf(at) : { revision: atRevision }
  return { name: archive, restore: (folder) => fromArchive(archive, point, folder, isQuiet) }
}

/** Null, the newest there is, without a time. */
function timeOf(at: string | undefined): Point | null {
  if (at === undefined) return null
  try {
    return { timeMs: parseTimeMs(at) }
  } catch (error) {
    return refuse(`--at: ${(error as Error).message}`)
  }
}

async function fromBackup(file: string, folder: string, isQuiet: boolean): Promise<string> {
  const { size } = statSync(file)
  const verified = await startProgress('verify', size, isQuiet)
  let restored = verified
  try {
    const { revision, members, taken_at } = await restoreBackup(file, folder, {
      onVerify: (bytes) => verified.update(bytes, 0),
      onUnpack: (bytes) => restored.update(bytes, 0),
      onVerified: async () => {
        verified.stop()
        restored = await startProgress('restore', size, isQuiet)
      },
    })
    return `${members} members, revision ${revision} of ${taken_at}`
  } finally {
    verified.stop()
    restored.stop()
  }
}

async function fromArchive(
  archive: string,
  point: Point | null,
  folder: string,
  isQuiet: boolean,
): Promise<string> {
  const progress = await startProgress('replay', null, isQuiet)
  try {
    const { revision, timeMs } = await restorePoint(archive, point, folder, (parts) =>
      progress.update(parts, 0),
    )
    return `revision ${revision}, as of ${formatTime(timeMs)}`
  } finally {
    progress.stop()
  }
}
