const blockChars = 64 * 1024

process.stdout.on('error', () => {}) // every write rejects by itself

/** Resolves when standard output has taken the chunk, so that no more than one is in memory. */
export function print(chunk: string | Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    process.stdout.write(chunk, (error) => (error ? reject(error) : resolve()))
  })
}

/** Many lines in few writes. */
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

/** Prints a line for each item; items that arrive together, or while standard output is slow, in one write. */
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

/** Whether a promise settles within this tick of the event loop. A rejection counts too, and is left to the caller. */
function isSettled(promise: Promise<unknown>): Promise<boolean> {
  return new Promise((resolve) => {
    const settled = () => resolve(true)
    promise.then(settled, settled)
    setImmediate(resolve, false)
  })
}

/**
 * Rows as lines: with a tab between the columns, and on a terminal aligned under the headings and cut at its width.
 * Control characters are escaped everywhere: what is stored must not steer a terminal, nor look like another row to a
 * program that reads lines.
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

/** The widths of columns are those of this many rows, so that a long list begins at once. */
const alignedRows = 100

function* align(rows: readonly (readonly string[])[]): Generator<string> {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)))
  for (const row of rows) yield row.length === 1 ? row.join('') : cutLine(row, widths)
}

export interface Rows {
  /** Null where there is none. */
  readonly heading: string | null
  row(cells: readonly string[]): string
}

/**
 * As `tableLines`, for rows that arrive one by one: a column is as wide as its widest cell so far.
 */
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

/** One long key should not push all values that follow off the screen. */
const widestGrownChars = 32

/** The last cell is as long as it is. */
function cutLine(cells: readonly string[], widths: readonly number[]): string {
  const padded = cells.map((cell, column) =>
    column === cells.length - 1 ? cell : cell.padEnd(widths[column] ?? 0),
  )
  return padded.join('  ').slice(0, process.stdout.columns)
}

function harmless(text: string): string {
  return text.replace(/\p{Cc}/gu, (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, '0')}`)
}
