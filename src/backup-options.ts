import { duration, wholeNumber } from './option-kinds.ts'
import { folderPath } from './option-values.ts'
import { option, refuse } from './options.ts'

/** The options of backups that a server, or `kvist backup`, takes by itself. */

const minute = 60_000
const day = 24 * 60 * minute

export const everyKind = duration('ms', minute, 366 * day)
export const keepKind = wholeNumber(1, 10_000)
export const defaultKeep = 14

export const backupOptions = {
  backupTo: option<string | null>({
    ...folderPath,
    flag: 'backup-to',
    env: 'KVIST_BACKUP_TO',
    default: null,
    help: 'take backups into this folder; best on another disk',
  }),
  backupEveryMs: option<number>({
    ...everyKind,
    flag: 'backup-every',
    env: 'KVIST_BACKUP_EVERY',
    default: day,
    help: 'how often, with --backup-to',
  }),
  backupKeep: option<number>({
    ...keepKind,
    flag: 'backup-keep',
    env: 'KVIST_BACKUP_KEEP',
    default: defaultKeep,
    help: 'how many of the newest backups stay, with --backup-to',
  }),
}

interface BackupConfig {
  readonly engine: string
  readonly backupTo: string | null
}

/** Refuses options of backups that would have no effect. Throws UsageError. */
export function refuseStrayBackups({ engine, backupTo }: BackupConfig, args: readonly string[]): void {
  const stray = ['--backup-every', '--backup-keep'].find((flag) =>
    args.some((one) => one === flag || one.startsWith(`${flag}=`)),
  )
  if (backupTo === null && stray !== undefined)
    refuse(`${stray} is for backups: name their folder with --backup-to`)
  if (backupTo !== null && engine !== 'sqlite')
    refuse('--backup-to is for the sqlite engine: the others have no files of which a backup is made')
}
