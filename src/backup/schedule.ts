import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { StopTimer, Timers } from '../core/timers.ts'
import type { Log } from '../telemetry/log.ts'
import { backupName, listBackups, pruneBackups, removeParts } from './folder.ts'
import type { Manifest } from './format.ts'

/** Takes backups into a folder again and again, and keeps the newest. */
export interface ScheduleOptions {
  readonly folder: string
  readonly everyMs: number
  readonly keep: number
  /** Takes a backup into the folder. Rejects, and leaves nothing, if that fails. */
  take(folder: string): Promise<{ readonly manifest: Manifest; readonly bytes: number }>
  readonly now: () => number
  readonly monotonicMs: () => number
  readonly timers: Timers
  readonly log: Log
}

/** What `/metrics` shows of it. */
export interface ScheduleNumbers {
  readonly folder: string
  /** When the newest backup in the folder was taken; 0 for none. */
  lastSuccessMs: number
  /** Duration and size of the last backup that this server took; 0 for none. */
  lastSeconds: number
  lastBytes: number
  successes: number
  failures: number
}

export interface Schedule {
  readonly numbers: Readonly<ScheduleNumbers>
  /** Takes a backup soon, although none is due. */
  takeNow(): void
  /** Takes no more; resolves when the one under way has ended. */
  stop(): Promise<void>
}

/** After a failure the next try is this much later, or at the usual time if that is earlier. */
const retryMs = 5 * 60_000
/** Timers cannot run longer. */
const maxTimerMs = 24 * 3_600_000

/**
 * Starts the schedule. The next backup is due `everyMs` after the newest one in the folder, whoever took it, so that a
 * server that starts often does not take one each time.
 */
export function startSchedule(options: ScheduleOptions): Schedule {
  const { folder, everyMs, now, timers, log } = options
  const numbers: ScheduleNumbers = {
    folder,
    lastSuccessMs: 0,
    lastSeconds: 0,
    lastBytes: 0,
    successes: 0,
    failures: 0,
  }
  let stopTimer: StopTimer = () => {}
  let running: Promise<void> = Promise.resolve()
  let isStopped = false
  let notBeforeMs = 0
  let isDueNow = false

  function dueMs(): number {
    const isFirst = numbers.lastSuccessMs === 0 || isDueNow
    return Math.max(isFirst ? 0 : numbers.lastSuccessMs + everyMs, notBeforeMs)
  }

  function scheduleNext(): void {
    if (isStopped) return
    // A clock that was set back must not put the next backup off for longer than one period.
    const waitMs = Math.min(Math.max(dueMs() - now(), 0), everyMs, maxTimerMs)
    stopTimer = timers.after(waitMs, () => {
      running = runIfDue().then(scheduleNext)
    })
  }

  async function runIfDue(): Promise<void> {
    if (dueMs() > now() && dueMs() - now() <= everyMs) return
    isDueNow = false
    try {
      await run(options, numbers)
      notBeforeMs = 0
    } catch (error) {
      isDueNow = true
      numbers.failures++
      notBeforeMs = now() + Math.min(retryMs, everyMs)
      if (!isStopped) log.error(new Error(`the backup to ${folder} failed`, { cause: error }), { folder })
    }
  }

  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    removeParts(folder)
    numbers.lastSuccessMs = listBackups(folder).at(-1)?.takenAtMs ?? 0
  } catch {
    // The first backup fails for the same reason, and says so.
  }
  scheduleNext()
  return {
    numbers,
    takeNow() {
      isDueNow = true
      stopTimer()
      scheduleNext()
    },
    async stop() {
      isStopped = true
      stopTimer()
      await running
    },
  }
}

async function run(options: ScheduleOptions, numbers: ScheduleNumbers): Promise<void> {
  const { folder, keep, take, now, monotonicMs, log } = options
  const startedMs = monotonicMs()
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const { manifest, bytes } = await take(folder)
  numbers.lastSuccessMs = now()
  numbers.lastSeconds = (monotonicMs() - startedMs) / 1000
  numbers.lastBytes = bytes
  numbers.successes++
  const path = join(folder, backupName(manifest))
  log.info(`backed up to ${path}`, {
    path,
    revision: manifest.revision,
    bytes,
    seconds: Math.round(numbers.lastSeconds * 10) / 10,
  })
  for (const deleted of await pruneBackups(folder, keep)) log.info(`deleted the old backup ${deleted}`)
}
