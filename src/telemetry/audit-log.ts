import { maxAuditBytes } from '../core/limits.ts'
import type { Timers } from '../core/timers.ts'
import { type LineCounts, type LineFile, type LineFileOptions, openLineFile } from './line-file.ts'
import type { Log } from './log.ts'
import { RefusalLines } from './refusal-lines.ts'

/**
 * The audit log: a line of JSON for each write and each refused request, whatever protocol it came by, in the order in
 * which their responses were decided. It has no values, tokens or tickets.
 */
export interface AuditLog {
  /** Adds a line. Neither throws nor waits: writes go on when the log cannot be written (line-file.ts). */
  write(entry: AuditEntry): void
  /**
   * Adds the line of a request that was refused for what its sender is, may do or has sent. Those that are too many of
   * one network are counted, and have one line together every minute.
   */
  refused(network: string, entry: AuditEntry): void
  /** Goes on in a new file, after log rotation. */
  reopen(): void
  /** Resolves when all lines are on the disk, or cannot be. */
  close(): Promise<void>
  readonly counts: Readonly<LineCounts>
}

export interface AuditEntry {
  readonly protocol: 'http' | 'memcached'
  readonly principal: string
  /** The id of the principal's token, if it has one. */
  readonly token?: string
  /** The address of the client. */
  readonly client: string
  readonly [field: string]: unknown
}

export interface AuditLogOptions extends Pick<LineFileOptions, 'disk'> {
  /** A file, or `-` for stdout. */
  readonly path: string
  readonly now: () => number
  /** Milliseconds of a monotonic clock. */
  readonly monotonicMs: () => number
  readonly timers: Timers
  readonly log: Log
  /** Writes a line to stdout. */
  readonly stdout: (line: string) => void
}

/** Opens the audit log. Throws an error of one line when its file cannot be opened. */
export function openAuditLog(options: AuditLogOptions): AuditLog {
  const { path, now, monotonicMs, timers, log } = options
  const timed = timedLines(now)
  const lines = openLines(options, (lost) => timed({ event: 'lost', lines: lost }))
  const refusals = new RefusalLines(monotonicMs)

  function writeCounts(): void {
    for (const [client, requests] of refusals.takeCounts())
      lines.append(timed({ event: 'refused', client, requests }))
  }

  const stopCounting = timers.every(countsEveryMs, writeCounts)
  return {
    counts: lines.counts,
    write: (entry) => lines.append(timed(entry)),
    refused(network, entry) {
      if (refusals.take(network)) lines.append(timed(entry))
    },
    reopen: () => lines.reopen(),
    async close() {
      stopCounting()
      writeCounts()
      await lines.close()
      const { lost } = lines.counts
      if (lost > 0) log.warn(`the audit log lacks ${lost} lines`, { audit_log: path, lost_lines: lost })
    },
  }
}

const countsEveryMs = 60_000
/** Each write to the file costs as much as ten lines. */
const batchMs = 10

/** Returns a function that formats an object of at least one field as a line that begins with the time. */
function timedLines(now: () => number): (fields: object) => string {
  let formattedMs = Number.NaN
  let start = ''
  return (fields) => {
    const nowMs = now()
    if (nowMs !== formattedMs) {
      formattedMs = nowMs
      start = `{"time":"${new Date(nowMs).toISOString()}",`
    }
    return start + JSON.stringify(fields).slice(1)
  }
}

function openLines(options: AuditLogOptions, lostLine: LineFileOptions['lostLine']): LineFile {
  const { path, stdout } = options
  if (path !== '-') return openFile(options, lostLine)
  const counts: LineCounts = { written: 0, lost: 0, waitingBytes: 0 }
  return {
    counts,
    append(line) {
      stdout(`${line}\n`)
      counts.written++
    },
    reopen() {},
    async close() {},
  }
}

function openFile({ path, log, disk }: AuditLogOptions, lostLine: LineFileOptions['lostLine']): LineFile {
  try {
    const file = openLineFile({
      path,
      maxWaitingBytes: maxAuditBytes,
      batchMs,
      lostLine,
      onFault(error) {
        const { lost, waitingBytes } = file.counts
        const cause = error instanceof Error ? error.message : String(error)
        const failure = new Error(`the audit log cannot be written: ${cause}; writes go on`, { cause: error })
        log.error(failure, { audit_log: path, lost_lines: lost, waiting_bytes: waitingBytes })
      },
      onRecovery: () =>
        log.warn('the audit log can be written again', { audit_log: path, lost_lines: file.counts.lost }),
      ...(disk === undefined ? {} : { disk }),
    })
    return file
  } catch (error) {
    const cause = error instanceof Error ? error.message : String(error)
    throw new Error(`cannot open the audit log: ${cause}`, { cause: error })
  }
}
