import type { Kvist } from '../../sdk/client.ts'
import { whileBusy } from './busy.ts'
import { complain } from './explain.ts'
import { writeOutput } from './output-file.ts'
import { startProgress } from './progress.ts'

/**
 * Writes a whole store. The lines between the first and the last are those by which servers replicate each other
 * (docs/nodes.md), so that each keeps its times and its origin; the last one says that the file is whole.
 */

/** The first line of the file. */
export const storeHead = '{"kvist":"store","format":1}'

/** The last line of the file. */
export interface StoreEnd {
  readonly end: true
  /** The lines between the first and this one. */
  readonly lines: number
}

/** What the server takes the reader for: a node. */
const readerId = 'export'

interface ExportOptions {
  readonly noTokens: boolean
  readonly quiet: boolean
}

export async function exportStore(kvist: Kvist, file: string, options: ExportOptions): Promise<number> {
  const progress = await startProgress('export', null, options.quiet)
  let lines = 0
  let head = `${storeHead}\n` // written once the server has let us in
  async function* chunks(): AsyncGenerator<Uint8Array> {
    for await (const text of pagesOf(kvist)) {
      const kept = options.noTokens ? withoutTokens(text) : text
      for (let at = kept.indexOf('\n'); at >= 0; at = kept.indexOf('\n', at + 1)) lines++
      progress.update(lines, lines)
      yield encoder.encode(head + kept)
      head = ''
    }
    const end: StoreEnd = { end: true, lines }
    yield encoder.encode(`${JSON.stringify(end)}\n`)
  }
  try {
    await writeOutput(file, chunks())
  } finally {
    progress.stop()
  }
  if (!options.quiet) complain(`exported ${lines}`)
  return 0
}

const encoder = new TextEncoder()

/** Yields the lines of all changes up to the end of the feed. */
async function* pagesOf(kvist: Kvist): AsyncGenerator<string> {
  let since = ''
  for (;;) {
    const page = await whileBusy(() => kvist.nodes.replica(since, readerId, { fill: true }))
    yield page.lines
    if (page.at_end) return
    since = page.next
  }
}

function withoutTokens(lines: string): string {
  if (!lines.includes('"_tokens"')) return lines
  const kept = lines.split('\n').filter((line) => line === '' || JSON.parse(line).collection !== '_tokens')
  return kept.join('\n')
}
