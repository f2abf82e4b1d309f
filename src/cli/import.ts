import { createReadStream, statSync } from 'node:fs'
import { pipeline } from 'node:stream'
import { createGunzip } from 'node:zlib'
import type { Collection, ImportSummary } from '../../sdk/client.ts'
import { toggle } from '../option-kinds.ts'
import { option, refuse, type Values } from '../options.ts'
import { sendLines } from './busy.ts'
import { command } from './command.ts'
import { collectionOption, connect, connectionOptions, quietOption } from './connection.ts'
import { complain, explain } from './explain.ts'
import { importFrom } from './import-source.ts'
import { type LineChunk, lineChunks, type OverlongLine } from './line-chunks.ts'
import { type Progress, startProgress } from './progress.ts'
import { ProgressFile, progressPath } from './progress-file.ts'
import { beforeSignalEnds } from './signals.ts'
import { refuseSourceOptions, sourceOptions } from './source-options.ts'

/**
 * The size of a request: large enough to make the pauses between requests negligible, small enough that a resumed
 * import repeats little.
 */
const chunkBytes = 4 * 1024 * 1024
/** The longest line that is sent: more than a server accepts, so that the server refuses it. */
const maxLineBytes = 32 * 1024 * 1024
/** Bad lines that are named; further ones are only counted. */
const maxNamedLines = 1000

export const importCommand = command('import', {
  summary: 'Store the members of an NDJSON file, or of another store',
  notes:
    'Each line is {"key": …, "value": …}, as kvist export writes them. An import that was interrupted resumes ' +
    'when the same command runs again: FILE.kvist-progress says where. A file that ends with .gz is unpacked, ' +
    'and starts again at its beginning. --from takes the files and servers of other stores: docs/import.md says ' +
    'what becomes of their keys, values and expiry. --all takes a whole store: members that are there and newer stay. It ' +
    'needs a token that grants replicate on *.',
  operands: [{ name: 'FILE', help: 'the file, - is standard input; with --from a file, folder or URL' }],
  options: {
    collection: option<string | undefined>({
      ...collectionOption,
      default: undefined,
      help: 'the collection; default: keys, or with --from that of its dialect',
    }),
    all: option({
      ...toggle(),
      flag: 'all',
      default: false,
      help: 'a whole store, as kvist export --all writes it',
    }),
    restart: option({ ...toggle(), flag: 'restart', default: false, help: 'start again at the beginning' }),
    quiet: quietOption,
    ...sourceOptions,
    ...connectionOptions,
  },
  async run(given, [file = '']) {
    if (given.all) {
      if (given.from !== undefined) refuse('--all and --from contradict each other: leave one of them out')
      if (given.collection !== undefined) refuse('--all stores all collections: it goes with no --collection')
      if (given.restart) refuse('--all always starts at the beginning: what is stored already is not newer')
      refuseSourceOptions(given)
      return (await import('./import-store.ts')).importStore(connect(given), file, given)
    }
    if (given.from !== undefined) return importFrom(given.from, file, given)
    refuseSourceOptions(given)
    return importLines(given, file)
  },
})

async function importLines(
  given: Values<typeof connectionOptions> & {
    readonly collection: string | undefined
    readonly restart: boolean
    readonly quiet: boolean
  },
  file: string,
): Promise<number> {
  const kvist = connect(given)
  const { collection: name = collectionOption.default } = given
  const collection = kvist.collection(name)
  const source = openSource(file, { url: kvist.url, collection: name }, given.restart)
  if (source.start.lines > 0 && !given.quiet) complain(`resuming after line ${source.start.lines} of ${file}`)

  let done = source.start
  const { offsetBytes, stored } = source.start
  const progress = await startProgress('import', source.totalBytes, given.quiet, offsetBytes, stored)
  beforeSignalEnds(() => {
    progress.stop()
    complain(`interrupted${howToGoOn(source, done)}`)
  })
  try {
    await sendAll(collection, source, progress, (acknowledged) => {
      done = acknowledged
    })
  } catch (error) {
    progress.stop()
    complain(explain(error).line + howToGoOn(source, done))
    return 1
  }
  progress.stop()
  source.saved.remove()
  if (!given.quiet) complain(`stored ${done.stored}, failed ${done.failed}`)
  return done.failed === 0 ? 0 : 1
}

/** How far an import of lines has come. */
interface LinesDone {
  /** The target and the file. A run with others does not resume here. */
  readonly url: string
  readonly collection: string
  readonly sizeBytes: number
  readonly modifiedMs: number
  /** The offset of the first byte that was not sent, at the start of a line. */
  readonly offsetBytes: number
  readonly lines: number
  readonly stored: number
  readonly failed: number
}

const numbers = ['sizeBytes', 'modifiedMs', 'offsetBytes', 'lines', 'stored', 'failed'] as const
const sameImport = ['url', 'collection', 'sizeBytes', 'modifiedMs'] as const

/** Returns what was saved, if it is of the import that starts with `of`; else null. */
function linesDone(found: unknown, of: LinesDone): LinesDone | null {
  const saved = found as LinesDone
  const isWhole = numbers.every((name) => Number.isFinite(saved[name]) && saved[name] >= 0)
  return isWhole && sameImport.every((name) => saved[name] === of[name]) ? saved : null
}

interface Source {
  readonly file: string
  readonly blocks: AsyncIterable<Uint8Array>
  /** The size of the input; null if unknown, as for a pipe. */
  readonly totalBytes: number | null
  /** Returns how many bytes of the total an import has read at this progress. */
  positionOf(done: LinesDone): number
  readonly saved: ProgressFile<LinesDone>
  readonly start: LinesDone
}

function openSource(file: string, target: { url: string; collection: string }, restart: boolean): Source {
  const stats = file === '-' ? null : statSync(file)
  const isFile = stats?.isFile() ?? false
  const isPacked = file.endsWith('.gz')
  const nothingDone: LinesDone = {
    ...target,
    sizeBytes: stats?.size ?? 0,
    modifiedMs: stats?.mtimeMs ?? 0,
    offsetBytes: 0,
    lines: 0,
    stored: 0,
    failed: 0,
  }
  const path = isFile && !isPacked ? progressPath(file) : null
  const saved = new ProgressFile(path, restart, (found) => linesDone(found, nothingDone))
  const start = saved.found ?? nothingDone
  const common = { file, totalBytes: isFile ? nothingDone.sizeBytes : null, saved, start }
  if (file === '-') return { ...common, blocks: process.stdin, positionOf: (done) => done.offsetBytes }

  const input = createReadStream(file, {
    highWaterMark: 256 * 1024,
    ...(isFile ? { start: start.offsetBytes } : {}),
  })
  if (!isPacked) return { ...common, blocks: input, positionOf: (done) => done.offsetBytes }
  const unpacked = pipeline(input, createGunzip(), () => {}) // a failure is thrown where it is read
  return { ...common, blocks: unpacked, positionOf: () => input.bytesRead }
}

function howToGoOn({ saved }: Source, { lines }: LinesDone): string {
  return saved.resumes && lines > 0 ? `; the same command resumes after line ${lines}` : ''
}

/** Sends one request after the other, so that the later of two lines with one key wins. */
async function sendAll(
  collection: Collection<unknown>,
  source: Source,
  progress: Progress,
  onAcknowledged: (done: LinesDone) => void,
): Promise<void> {
  let done = source.start
  let named = 0
  for await (const chunk of lineChunks(source.blocks, chunkBytes, maxLineBytes)) {
    const { stored, failed, failed_more: unnamed = 0 } = await send(collection, chunk)
    for (const bad of failed.slice(0, maxNamedLines - named)) {
      progress.complain(`${source.file}:${done.lines + bad.line}: ${bad.code}: ${bad.detail}`)
    }
    named = Math.min(named + failed.length, maxNamedLines)
    done = {
      ...done,
      offsetBytes: done.offsetBytes + ('bytes' in chunk ? chunk.bytes.length : chunk.overlongBytes),
      lines: done.lines + ('bytes' in chunk ? chunk.lines : 1),
      stored: done.stored + stored,
      failed: done.failed + failed.length + unnamed,
    }
    source.saved.save(done, progress)
    onAcknowledged(done)
    progress.update(source.positionOf(done), done.stored)
  }
}

/** Sends a chunk; an overlong line fails without being sent. */
async function send(
  collection: Collection<unknown>,
  chunk: LineChunk | OverlongLine,
): Promise<ImportSummary> {
  if ('bytes' in chunk) return sendLines(collection, chunk.bytes)
  const detail = `the line has ${chunk.overlongBytes} bytes`
  return { stored: 0, failed: [{ line: 1, code: 'too_large', detail }] }
}
