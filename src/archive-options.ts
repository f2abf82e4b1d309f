import { resolve } from 'node:path'
import { duration } from './option-kinds.ts'
import { folderPath } from './option-values.ts'
import { option, refuse } from './options.ts'

/** The options of the archive, which keeps the log of the SQLite engine beside base backups (docs/design/archive.md). */
export const archiveOptions = {
  archive: option<string | null>({
    ...folderPath,
    flag: 'archive',
    env: 'KVIST_ARCHIVE',
    default: null,
    help: 'folder that gets every change with base backups, for a restore to any point in time',
  }),
  archiveEveryMs: option({
    ...duration('ms', 1000, 3_600_000),
    flag: 'archive-every',
    env: 'KVIST_ARCHIVE_EVERY',
    default: 10_000,
    help: 'how often changes go to the archive: so much may be missing from it if the machine is lost',
  }),
}

/**
 * Returns the folder of backups: that of `--backup-to`, or the archive, whose base backups they are. Throws UsageError for
 * two folders.
 */
export function basesOf({
  archive,
  backupTo,
}: Pick<ArchiveConfig, 'archive'> & { readonly backupTo: string | null }): string | null {
  if (archive !== null && backupTo !== null && resolve(archive) !== resolve(backupTo)) {
    refuse(`--archive ${archive} takes its backups into its own folder: leave out --backup-to ${backupTo}`)
  }
  return archive ?? backupTo
}

interface ArchiveConfig {
  readonly archive: string | null
  readonly engine: string
  readonly dataFolder: string
}

/** Refuses an archive of an engine that keeps no log here. Throws UsageError. */
export function refuseStrayArchive(
  { archive, engine, dataFolder }: ArchiveConfig,
  args: readonly string[],
): void {
  if (archive === null) {
    const isGiven = args.some((arg) => arg === '--archive-every' || arg.startsWith('--archive-every='))
    if (isGiven) refuse('--archive-every says how often --archive is written, which is missing')
    return
  }
  if (engine === 'sqlite') {
    if (resolve(archive) === resolve(dataFolder))
      refuse(`--archive ${archive} is the data folder: name another one, best on another disk`)
    return
  }
  const which = engine === 'memory' ? '--engine memory keeps nothing on disk' : 'Redis keeps no log here'
  refuse(`--archive is for the engine sqlite: ${which}; leave out --archive, or --engine`)
}
