const blockChars = 64 * 1024

process.stdout.on('error', () => {}) // the promise of each write rejects

/** Writes to standard output and resolves when it has taken the chunk, so that at most one is in memory. */
export function print(chunk: string | Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    process.stdout.write(chunk, (error) => (error ? reject(error) : resolve()))
  })
}

/** Prints lines, many of them in one write. */
export async function printLines(lines: AsyncIterable<string> | Iterable<string>, end = '\n'): Promise<void> {
  let block = ''
  for await (const line of lines) {
    block += line + end
    if (block.length < blockChars) continue
    await print(block)
    block = ''
  }
  if (block !== '') await print(block)
}

/**
 * Prints a line for each item as it arrives. Items that arrive together, or while standard output is slow, are printed
 * in one write.
 */
export async function printAsTheyCome<T>(
  source: AsyncIterator<T, unknown, void>,
  lineOf: (one: T) => string,
): Promise<void> {
  let next = source.next()
  for (;;) {
    let block = ''
    do {
      const { done, value } = await next
      if (done) return
      block += `${lineOf(value)}\n`
      next = source.next()
    } while ((await isSettled(next)) && block.length < blockChars)
    await print(block)
  }
}

/**
 * Returns whether a promise resolves or rejects within this tick of the event loop. A rejection counts too, and is left to the
 * caller.
 */
function isSettled(promise: Promise<unknown>): Promise<boolean> {
  return new Promise((resolve) => {
    const onDone = () => resolve(true)
    promise.then(onDone, onDone)
    setImmediate(resolve, false)
  })
}

/**
 * Yields rows as lines: separated by tabs or, on a terminal, aligned under the headings and truncated to its width.
 * Control characters are always escaped, so that stored data can neither control a terminal nor look like another row
 * to a program that reads lines.
 */
export async function* tableLines(
  rows: AsyncIterable<readonly string[]> | Iterable<readonly string[]>,
  headings: readonly string[],
): AsyncGenerator<string> {
  if (!process.stdout.isTTY) {
    for await (const row of rows) yield row.map(harmless).join('\t')
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

/** Rows that determine the widths of columns, so that a long list begins at once. */
const alignedRows = 100

function* align(rows: readonly (readonly string[])[]): Generator<string> {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)))
  for (const row of rows) yield row.length === 1 ? row.join('') : cutLine(row, widths)
}

export interface Rows {
  /** The line of headings; null if there is none. */
  readonly heading: string | null
  row(cells: readonly string[]): string
}

/** Formats rows that arrive one by one, as `tableLines` does: a column is as wide as its widest cell so far. */
export function rowsAsTheyCome(headings: readonly string[]): Rows {
  if (!process.stdout.isTTY) return { heading: null, row: (cells) => cells.map(harmless).join('\t') }
  const widths = headings.map(() => 0)
  function row(given: readonly string[]): string {
    const cells = given.map(harmless)
    cells.forEach((cell, column) => {
      widths[column] = Math.max(widths[column] ?? 0, Math.min(cell.length, widestGrownChars))
    })
    return cutLine(cells, widths)
  }
  return { heading: row(headings), row }
}

/** The widest that a column grows, so that one long key does not push all later values off the screen. */
const widestGrownChars = 32

/** Joins cells padded to their columns' widths, except the last, and truncates the line. */
function cutLine(cells: readonly string[], widths: readonly number[]): string {
  const padded = cells.map((cell, column) =>
    column === cells.length - 1 ? cell : cell.padEnd(widths[column] ?? 0),
  )
  return padded.join('  ').slice(0, process.stdout.columns)
}

function harmless(text: string): string {
  return text.replace(/\p{Cc}/gu, (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, '0')}`)
}
