import { join } from 'node:path'
import { backupName } from './backup/folder.ts'
import { type Schedule, startSchedule } from './backup/schedule.ts'
import { type BackupSource, takeBackup } from './backup/take-backup.ts'
import { writeBackupFile } from './backup/write-backup.ts'
import type { Config } from './config.ts'
import type { Archive } from './core/archive.ts'
import { realTimers, type Timers } from './core/timers.ts'
import type { Route } from './http/route.ts'
import { backupRoutes } from './http/v1/backup.ts'
import { serverArchive } from './serve-archive.ts'
import type { EngineOfServer } from './serve-engine.ts'
import type { Log } from './telemetry/log.ts'

/** The backups of a server: those that clients ask for, and those that it takes by itself. */
export interface ServerBackups {
  readonly routes: Route[]
  /** Null without `--backup-to`. */
  readonly schedule: Schedule | null
  /** Reads of the archive; null without `--archive`. */
  readonly archive: Archive | null
  stop(): Promise<void>
}

export interface BackupParts extends Omit<BackupSource, 'pin'> {
  readonly monotonicMs: () => number
  /** Default: those of the system. */
  readonly timers: Timers | undefined
  readonly log: Log
  readonly engine: Pick<EngineOfServer, 'pin' | 'archive'>
  readonly onError: (error: unknown) => void
}

export function startBackups(
  { backupTo, backupEveryMs, backupKeep }: Pick<Config, 'backupTo' | 'backupEveryMs' | 'backupKeep'>,
  parts: BackupParts,
): ServerBackups {
  const { engine, now, monotonicMs, version, onError, log, timers = realTimers } = parts
  const source = { pin: engine.pin, now, version, isPaced: true }
  /** Ends the scheduled backup under way. */
  let stopTaking = () => {}

  async function take(folder: string) {
    const backup = await takeBackup(source)
    stopTaking = backup.stop
    try {
      const bytes = await writeBackupFile(join(folder, backupName(backup.manifest)), async (write) => {
        let written = 0
        for (let chunk = await backup.next(); chunk !== null; chunk = await backup.next()) {
          await write(chunk)
          written += chunk.length
        }
        return written
      })
      return { manifest: backup.manifest, bytes }
    } finally {
      backup.stop()
    }
  }

  const common = { everyMs: backupEveryMs, keep: backupKeep, take, now, monotonicMs, timers, log }
  const schedule = backupTo === null ? null : startSchedule({ folder: backupTo, ...common })
  const onGap = () => schedule?.takeNow()
  const archive = serverArchive(parts.engine.archive(), { timers, onError, onGap })
  return {
    routes: backupRoutes(async () => {
      const { manifest, next, stop } = await takeBackup(source)
      return { name: backupName(manifest), revision: manifest.revision, next, stop }
    }),
    schedule,
    archive: archive?.reads ?? null,
    async stop() {
      archive?.stop()
      stopTaking()
      await schedule?.stop()
    },
  }
}
