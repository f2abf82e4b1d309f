const blockChars = 64 * 1024

process.stdout.on('error', () => {}) // every write hears of its own

/** Resolves when the reader of standard output has room again, so that memory holds no more than one chunk. */
export function print(chunk: string | Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    process.stdout.write(chunk, (error) => (error ? reject(error) : resolve()))
  })
}

/** Many lines in few writes. */
export async function printLines(lines: AsyncIterable<string> | Iterable<string>): Promise<void> {
  let block = ''
  for await (const line of lines) {
    block += `${line}\n`
    if (block.length < blockChars) continue
    await print(block)
    block = ''
  }
  if (block !== '') await print(block)
}

/**
 * Rows as lines: with a tab between the columns, and on a terminal aligned under the headings, cut at its width and
 * without control characters, since what is stored must not steer the terminal.
 */
export async function* tableLines(
  rows: AsyncIterable<readonly string[]> | Iterable<readonly string[]>,
  headings: readonly string[],
): AsyncGenerator<string> {
  if (!process.stdout.isTTY) {
    for await (const row of rows) yield row.join('\t')
    return
  }
  const isOneColumn = headings.length === 1
  let waiting: (readonly string[])[] = isOneColumn ? [] : [headings]
  for await (const row of rows) {
    waiting.push(row.map(harmless))
    if (!isOneColumn && waiting.length < alignedRows) continue
    yield* align(waiting)
    waiting = []
  }
  yield* align(waiting)
}

/** The widths of columns are those of this many rows, so that a long list begins at once. */
const alignedRows = 100

function* align(rows: readonly (readonly string[])[]): Generator<string> {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)))
  for (const row of rows) {
    const cells = row.map((cell, column) =>
      column === row.length - 1 ? cell : cell.padEnd(widths[column] ?? 0),
    )
    yield row.length === 1 ? cells.join('') : cells.join('  ').slice(0, process.stdout.columns)
  }
}

function harmless(text: string): string {
  return text.replace(/\p{Cc}/gu, (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, '0')}`)
}
