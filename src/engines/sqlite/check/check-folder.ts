import { existsSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { monotonicMs } from '../../../runtime/clock.ts'
import { isOwnFile } from '../data-folder.ts'
import { lockForReading } from '../lock.ts'
import { formatRefusal } from '../table/format.ts'
import { tableFormat } from '../table/schema.ts'
import { type Meta, RefusedFile } from '../table/table.ts'
import { isUpgradable } from '../table/upgrade.ts'
import { listSegments } from '../wal/log-files.ts'
import { checkLog, type LogReport } from './check-log.ts'
import { TableCheck, type TablesReport } from './check-tables.ts'
import { Findings, type StoreFinding } from './findings.ts'
import { openPages, type StoredPages } from './stored-pages.ts'
import { readSchema } from './stored-schema.ts'

/** Checks a data folder that no server has open: whether all of it is as it was written (docs/design/check.md). */

export interface CheckReport {
  readonly isWhole: boolean
  readonly storeId: string | null
  readonly format: number | null
  /** The last revision of the store. */
  readonly revision: number | null
  /** Members and tombstones in the tables; the log has `logRecords` more writes. */
  readonly members: number
  readonly tombstones: number
  readonly valueBytes: number
  readonly logRecords: number
  readonly findings: readonly StoreFinding[]
  /** Findings that are not in the list, because there are too many. */
  readonly findingsLeftOut: number
  /** What is no damage, but may be of interest. */
  readonly notes: readonly string[]
  readonly bytesRead: number
  readonly elapsedMs: number
}

export interface CheckOptions {
  /** Is called from time to time. */
  readonly onProgress?: (pages: number, totalPages: number, members: number) => void
}

/** How long the walk goes on before other work, such as a progress bar, may run. */
const sliceMs = 50

/**
 * Checks a folder. Throws RefusedFile for one that is in use, is no folder of a store, or has another format. Nothing in it is
 * changed.
 */
export async function checkFolder(dir: string, options: CheckOptions = {}): Promise<CheckReport> {
  if (!isStoreFolder(dir)) throw new RefusedFile(`${dir} has no store: neither kvist.db nor a log`)
  const lock = lockForReading(dir)
  try {
    return await check(dir, options)
  } finally {
    lock.release()
  }
}

/** Whether a folder has something of a store. Throws the system's error for what is no folder. */
export function isStoreFolder(dir: string): boolean {
  const names = readdirSync(dir)
  return names.includes('kvist.db') || listSegments(dir).length > 0
}

async function check(dir: string, { onProgress = () => {} }: CheckOptions): Promise<CheckReport> {
  const startedMs = monotonicMs()
  const findings = new Findings()
  const notes: string[] = []
  const note = (line: string) => notes.push(line)
  noteFiles(dir, note)
  const dbPath = join(dir, 'kvist.db')
  let format: number | null = null
  let tables: TablesReport = { meta: {}, members: 0, tombstones: 0, valueBytes: 0 }
  let bytesRead = 0
  if (!existsSync(dbPath))
    findings.add({ where: 'kvist.db', what: 'the file is missing, but there is a log' })
  else {
    const pages = openPages(dbPath)
    try {
      format = formatOf(dbPath, pages)
      const job = new TableCheck(pages, findings)
      tables = await inSlices(job.run(), (done) => onProgress(done, pages.pageCount, job.members))
      bytesRead += pages.bytes
    } finally {
      pages.close()
    }
  }
  const log = logOf(dir, tables.meta, findings, note)
  bytesRead += log?.bytes ?? 0
  return {
    isWhole: findings.count === 0,
    storeId: tables.meta.storeId ?? null,
    format,
    revision: log?.lastRevision ?? tables.meta.flushedRevision ?? null,
    members: tables.members,
    tombstones: tables.tombstones,
    valueBytes: tables.valueBytes,
    logRecords: log?.records ?? 0,
    findings: findings.list,
    findingsLeftOut: findings.leftOut,
    notes,
    bytesRead,
    elapsedMs: monotonicMs() - startedMs,
  }
}

/** The format of the file; null for a header that cannot be read. Throws RefusedFile for one that this kvist cannot check. */
export function formatOf(dbPath: string, pages: StoredPages): number | null {
  const { format, otherTables } = readSchema(pages)
  if (format === null) return null
  const isHalfUpgraded = otherTables.some((name) => /^(members|feed|tombstones|collections)_\d+$/.test(name))
  if (isUpgradable(format) || isHalfUpgraded)
    throw new RefusedFile(`${dbPath} is of an older kvist: start kvist with it once, which upgrades it`)
  const refusal = formatRefusal(dbPath, format, tableFormat)
  if (refusal !== null) throw new RefusedFile(refusal)
  return format
}

function logOf(
  dir: string,
  { storeId, nodeId, flushedRevision, clock, lostRevisions = [] }: Partial<Meta>,
  findings: Findings,
  note: (line: string) => void,
): LogReport | null {
  if (storeId !== undefined && flushedRevision !== undefined) {
    const meta = { storeId, nodeId: nodeId ?? '', flushedRevision, clock: clock ?? 0, lostRevisions }
    return checkLog(dir, meta, findings, note)
  }
  if (listSegments(dir).length > 0)
    findings.add({
      where: 'log',
      what: 'it cannot be checked, because the tables do not say what they have of it',
    })
  return null
}

/** Runs a job to its end, with pauses in which other work can run. */
export async function inSlices<T>(job: Generator<void, T>, onSlice: (steps: number) => void): Promise<T> {
  let sliceEndMs = monotonicMs() + sliceMs
  for (let steps = 1; ; steps++) {
    const step = job.next()
    if (step.done) return step.value
    if (steps % 64 !== 0 || monotonicMs() < sliceEndMs) continue
    onSlice(steps)
    await new Promise((resolve) => setImmediate(resolve))
    sliceEndMs = monotonicMs() + sliceMs
  }
}

function noteFiles(dir: string, note: (line: string) => void): void {
  for (const name of readdirSync(dir).toSorted()) {
    const path = join(dir, name)
    if (name.startsWith('damaged-'))
      note(`${path} was cut off the log by --accept-damaged-log, and is not read`)
    else if (!isOwnFile(name)) note(`${path} is not kvist's`)
    else if (name === 'kvist.db-wal' && statSync(path).size > 0)
      note(`${path} has pages that the next start moves into kvist.db: the last server was killed`)
  }
}
