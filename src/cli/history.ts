import type { ArchivedVersion as Version } from '../../sdk/client.ts'
import { type Bases, openBases, timelineOf, versionPage } from '../backup/archive-reads.ts'
import { versionJson } from '../core/archive-json.ts'
import type { Member } from '../core/member.ts'
import { toggle, wholeNumber } from '../option-kinds.ts'
import { option } from '../options.ts'
import { command } from './command.ts'
import { collectionOption, connect, connectionOptions, jsonOption, optionalText } from './connection.ts'
import { complain } from './explain.ts'
import { printLines, tableLines } from './output.ts'
import { scratchFolder } from './scratch-folder.ts'

export const historyCommand = command('history', {
  summary: 'Print the versions of a member that an archive has, newest first',
  notes:
    'Of a server with --archive, or of the folder of an archive. In columns: revision, time, change, bytes; with ' +
    '--values the value. A time of - is that of a version that is older than the archive. Ends with 1 when there is none.',
  operands: [{ name: 'KEY', help: 'the key' }],
  options: {
    collection: collectionOption,
    archive: optionalText('archive', 'FOLDER', 'read this archive, without a server'),
    limit: option<number | undefined>({
      ...wholeNumber(1, 1_000_000),
      flag: 'limit',
      default: undefined,
      help: 'at most so many; default: all',
    }),
    values: option({ ...toggle(), flag: 'values', default: false, help: 'print the values, too' }),
    json: { ...jsonOption, help: 'print NDJSON' },
    ...connectionOptions,
  },
  async run(given, [key = '']) {
    const { collection, archive, values, json, limit = Number.POSITIVE_INFINITY } = given
    const ref = { collection, key }
    const lines =
      archive === undefined
        ? versionsOfServer(connect(given).collection(collection), key, values)
        : versionsOfArchive(archive, ref, values)
    let count = 0
    async function* limited(): AsyncGenerator<string> {
      for await (const line of lines) {
        if (count++ === limit) return
        yield line
      }
    }
    const headings = ['REVISION', 'TIME', 'CHANGE', 'BYTES', ...(values ? ['VALUE'] : [])]
    await printLines(json ? limited() : tableLines(rowsOf(limited(), values), headings))
    if (count > 0) return 0
    complain(`no versions: ${key}`)
    return 1
  },
})

/** The most versions of a page; with values fewer, so that a page of the largest ones fits in memory. */
const pageVersions = 1000

async function* versionsOfServer(
  collection: ReturnType<ReturnType<typeof connect>['collection']>,
  key: string,
  withValues: boolean,
): AsyncGenerator<string> {
  const include = withValues ? 'values' : 'metadata'
  let before: number | null = null
  do {
    const page = await collection.history(key, { include, limit: pageVersions, before: before ?? undefined })
    for (const version of page.versions) yield JSON.stringify(version)
    before = page.next
  } while (before !== null)
}

async function* versionsOfArchive(
  dir: string,
  ref: { readonly collection: string; readonly key: string },
  withValues: boolean,
): AsyncGenerator<string> {
  const timeline = timelineOf(dir)
  const bases: Bases = openBases(scratchFolder())
  try {
    let before: number | null = null
    do {
      const query = { before, limit: pageVersions, withValues }
      const page = await versionPage(timeline, bases, ref, query)
      for (const version of page.versions) yield versionJson(version, withValues ? valueField : () => '')
      before = page.next
    } while (before !== null)
  } finally {
    bases.close()
  }
}

/** JSON is printed as it was stored, but for its line breaks, which lie between tokens. */
function valueField({ value }: Member): string {
  return typeof value === 'string'
    ? `"value":${value.replace(/[\r\n]/g, ' ')}`
    : `"value_base64":"${Buffer.from(value).toString('base64')}"`
}

async function* rowsOf(lines: AsyncIterable<string>, withValues: boolean): AsyncGenerator<string[]> {
  for await (const line of lines) {
    const version = JSON.parse(line) as Version
    const { revision, at, type, bytes } = version
    const row = [String(revision), at ?? '-', type, bytes === undefined ? '-' : String(bytes)]
    yield withValues ? [...row, shownValue(version)] : row
  }
}

function shownValue({ value, value_text, value_base64 }: Version): string {
  if (value !== undefined) return JSON.stringify(value)
  return value_text ?? value_base64 ?? ''
}
