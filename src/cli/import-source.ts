import { statSync } from 'node:fs'
import { isRejected, type SourceEntry, SourceError } from '../importers/entry.ts'
import type { Importer, Source } from '../importers/importer.ts'
import { sourceLine } from '../importers/lines.ts'
import { importers, type SourceName } from '../importers/table.ts'
import type { Values } from '../options.ts'
import { wallClockMs } from '../runtime/wall-clock.ts'
import { connect, type connectionOptions } from './connection.ts'
import { complain, explain } from './explain.ts'
import {
  addCounts,
  type ImportCounts,
  type ImportReport,
  noCounts,
  openReport,
  rejectedCount,
  summaryOf,
} from './import-report.ts'
import { type Progress, startProgress } from './progress.ts'
import { beforeSignalEnds } from './signals.ts'
import {
  loadSourceCheckpoint,
  removeSourceCheckpoint,
  type SourceCheckpoint,
  saveSourceCheckpoint,
} from './source-checkpoint.ts'
import { importerOptions, refuseOtherOptions, type SourceValues } from './source-options.ts'
import { SourceSender } from './source-sender.ts'

/**
 * `kvist import --from`: reads the entries of another store in batches and stores them by the bulk import. Memory does
 * not grow with the source. After each request the cursor is saved, so that the same command resumes.
 */

type ImportValues = SourceValues &
  Values<typeof connectionOptions> & {
    readonly collection: string | undefined
    readonly restart: boolean
    readonly quiet: boolean
  }

export async function importFrom(from: SourceName, location: string, given: ImportValues): Promise<number> {
  const importer: Importer = await importers[from]()
  refuseOtherOptions(from, importer, given)
  const kvist = connect(given)
  const note = (line: string) => {
    if (!given.quiet) complain(line)
  }
  const source = await importer.open(location, importerOptions(given, note))
  const run = startRun(from, location, source, kvist.url, given)
  const progress = await startProgress('import', source.total, given.quiet, 0, run.done.stored)
  const report = openReport(given.report, run.start !== null, (line) =>
    progress.complain(`${location}: ${line}`),
  )
  beforeSignalEnds(() => {
    progress.stop()
    complain(`interrupted${howToGoOn(run)}`)
  })
  const sender = new SourceSender(given.dryRun ? null : kvist, report, (counts, end) => {
    run.done = addCounts(run.done, counts)
    if (end === null) return
    save(run, end.cursor, progress)
    progress.update(end.position, run.done.stored)
  })
  const target = { collection: given.collection ?? importer.collection, prefix: given.prefix ?? '' }
  try {
    for await (const { entries, cursor, position } of source.read(run.start)) {
      for (const entry of entries) await addEntry(entry, target, sender, report)
      await sender.endBatch({ cursor, position })
    }
    await sender.end()
  } catch (error) {
    // What was read before the source failed is stored, so that the next run goes on after it.
    if (error instanceof SourceError) await sender.end().catch(() => {})
    progress.stop()
    complain(explain(error).line + howToGoOn(run))
    return 1
  } finally {
    report.close()
    source.close?.()
  }
  progress.stop()
  if (run.checkpointPath !== null) removeSourceCheckpoint(run.checkpointPath)
  if (!given.quiet) complain(summaryOf(run.done, given.dryRun))
  return rejectedCount(run.done) + run.done.incomplete === 0 ? 0 : 1
}

interface Target {
  /** Null if the entries name theirs. */
  readonly collection: string | null
  readonly prefix: string
}

async function addEntry(
  entry: SourceEntry,
  target: Target,
  sender: SourceSender,
  report: ImportReport,
): Promise<void> {
  const line = isRejected(entry) ? entry : sourceLine(entry, target.prefix, wallClockMs())
  if ('code' in line) {
    report.add(line.key, line.code, line.reason)
    sender.count({ rejected: { [line.code]: 1 } })
    return
  }
  if ('isExpired' in line) {
    sender.count({ expired: 1 })
    return
  }
  const { lost, collection = '' } = entry as { lost?: string; collection?: string }
  if (lost !== undefined) {
    report.add(line.key, 'incomplete', `stored without ${lost}`)
    sender.count({ incomplete: 1 })
  }
  await sender.add(target.collection ?? collection, line.key, line.line)
}

interface Run {
  /** Identifies the import in its checkpoint. */
  readonly of: string
  /** Null if the import cannot resume. */
  readonly checkpointPath: string | null
  /** The cursor to start at. */
  readonly start: string | null
  done: ImportCounts
  hasSaved: boolean
}

function startRun(from: SourceName, location: string, source: Source, url: string, given: ImportValues): Run {
  const { collection, prefix, key, infer, delimiter, json, database, encodeKeys } = given
  const options = { prefix, key, infer, delimiter, json, database, encodeKeys }
  const of = JSON.stringify({ from, location, identity: source.identity, url, collection, options })
  const path =
    source.identity === null || given.dryRun ? null : `${checkpointBase(from, location)}.kvist-progress`
  const found: SourceCheckpoint | 'other' | null =
    path === null || given.restart ? null : loadSourceCheckpoint(path, of)
  if (found === 'other') complain(`${path} is of another import: starting at the beginning`)
  const start = found === 'other' ? null : found
  if (start !== null && !given.quiet) complain(`resuming after ${start.counts.stored} of ${location}`)
  return {
    of,
    checkpointPath: path,
    start: start?.cursor ?? null,
    done: start?.counts ?? noCounts,
    hasSaved: start !== null,
  }
}

/** The checkpoint of a file is beside it, that of a server in the current folder. */
function checkpointBase(from: SourceName, location: string): string {
  const isPath = statSync(location, { throwIfNoEntry: false }) !== undefined
  if (isPath) return location.replace(/\/+$/, '')
  return `${from}-${location.replace(/[^A-Za-z0-9.]+/g, '-').replace(/^-|-$/g, '')}`
}

/** Saves the cursor. An import whose checkpoint cannot be written goes on without one. */
function save(run: Run, cursor: string, progress: Progress): void {
  const { checkpointPath: path, of, done: counts } = run
  if (path === null) return
  try {
    saveSourceCheckpoint(path, { of, cursor, counts })
    run.hasSaved = true
  } catch (error) {
    progress.complain(`${explain(error).line}: an interrupted import will start at the beginning`)
    Object.assign(run, { checkpointPath: null, hasSaved: false })
  }
}

function howToGoOn({ hasSaved, done }: Run): string {
  return hasSaved ? `; the same command resumes after ${done.stored} that were stored` : ''
}
