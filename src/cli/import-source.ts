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
import { startProgress } from './progress.ts'
import { ProgressFile, progressPath } from './progress-file.ts'
import { beforeSignalEnds } from './signals.ts'
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
    run.saved.save({ of: run.of, cursor: end.cursor, counts: run.done }, progress)
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
  run.saved.remove()
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

/** How far an import from a source has come. */
interface SourceDone {
  /** The import: source, target and options. A run of another one does not resume here. */
  readonly of: string
  readonly cursor: string
  readonly counts: ImportCounts
}

/** Returns what was saved, if it is of this import; else null. Throws for what is of another shape. */
function sourceDone(found: unknown, of: string): SourceDone | null {
  const saved = found as SourceDone
  const { stored, expired, incomplete, rejected } = saved.counts
  const counts = [stored, expired, incomplete, ...Object.values(rejected)]
  const isWhole = typeof saved.cursor === 'string' && counts.every((count) => Number.isInteger(count))
  return isWhole && saved.of === of ? saved : null
}

interface Run {
  /** See `SourceDone`. */
  readonly of: string
  readonly saved: ProgressFile<SourceDone>
  /** The cursor to start at. */
  readonly start: string | null
  done: ImportCounts
}

function startRun(from: SourceName, location: string, source: Source, url: string, given: ImportValues): Run {
  const { collection, prefix, key, infer, delimiter, json, database, encodeKeys } = given
  const options = { prefix, key, infer, delimiter, json, database, encodeKeys }
  const of = JSON.stringify({ from, location, identity: source.identity, url, collection, options })
  const canResume = source.identity !== null && !given.dryRun
  const path = canResume ? progressPath(progressBase(from, location)) : null
  const saved = new ProgressFile(path, given.restart, (found) => sourceDone(found, of))
  if (saved.found !== null && !given.quiet)
    complain(`resuming after ${saved.found.counts.stored} of ${location}`)
  return { of, saved, start: saved.found?.cursor ?? null, done: saved.found?.counts ?? noCounts }
}

/** The progress of a file is beside it, that of a server in the current folder. */
function progressBase(from: SourceName, location: string): string {
  const isPath = statSync(location, { throwIfNoEntry: false }) !== undefined
  if (isPath) return location.replace(/\/+$/, '')
  return `${from}-${location.replace(/[^A-Za-z0-9.]+/g, '-').replace(/^-|-$/g, '')}`
}

function howToGoOn({ saved, done }: Run): string {
  return saved.resumes ? `; the same command resumes after ${done.stored} that were stored` : ''
}
