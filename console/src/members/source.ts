import type { Collection, PagesOptions } from 'kvist-client'
import { session } from '../api/session.svelte.ts'
import { monotonicMs } from '../live/now.svelte.ts'
import { boundedLines } from './bounded-lines.ts'
import { type Criteria, delimiter, isFieldOrder, selectionOf } from './criteria.ts'
import { compareKeys, prefixEnd } from './keys.ts'
import { parseRow, type Row } from './row.ts'

/** Reads the rows of a list from the server, on from any key and in both directions. */

/** Where to read from: a row, which is not read again; a key, which belongs to what is read towards larger keys; an end. */
export type Edge = { readonly row: Row } | { readonly key: string } | null

/** In the order of the list: `forward` is down. */
export type Direction = 'forward' | 'backward'

interface ReadOptions {
  readonly limit: number
  readonly signal: AbortSignal
  /** Called with the rows so far while more are looked for, as with a filter that selects few of many. */
  readonly onProgress?: (rows: readonly Row[]) => void
}

export interface ReadRows {
  /** In the order of the list. */
  readonly rows: readonly Row[]
  /** Nothing follows in this direction. */
  readonly isEnd: boolean
}

/** Rows of one request may have this many bytes together. Where they have more, keys alone are listed. */
const maxListBytes = 2 * 1024 * 1024

/** Rows that are shown in the order of fields. */
const maxSortedRows = 2000

/** How long rows are held back before they are shown, while more arrive. */
const progressMs = 120

export class RowSource {
  readonly criteria: Criteria
  readonly collection: string

  /** Whether values are too large for the list: its rows have keys alone, and `details` reads what is looked at. */
  isLarge = false
  /** In the order of fields the list has the first rows alone; whether there are more. */
  isCapped = false

  constructor(collection: string, criteria: Criteria) {
    this.collection = collection
    this.criteria = criteria
  }

  /** Keys come in their order, so that a list can be read on from any of them. */
  get isByKey(): boolean {
    return !isFieldOrder(this.criteria.order)
  }

  async read(edge: Edge, direction: Direction, options: ReadOptions): Promise<ReadRows> {
    const isRising = (direction === 'forward') === (this.criteria.order === 'asc')
    const range = isRising ? rangeAfter(edge) : rangeBefore(edge)
    if (range === null) return { rows: [], isEnd: true }
    try {
      if (!this.isByKey) return await this.#readSorted(options)
      return await this.#read({ ...range, order: isRising ? 'asc' : 'desc' }, edge, direction, options)
    } catch (error) {
      if (!(error instanceof TooManyBytes)) throw error
      this.isLarge = true
      return this.read(edge, direction, options)
    }
  }

  async #read(
    range: PagesOptions,
    edge: Edge,
    direction: Direction,
    options: ReadOptions,
  ): Promise<ReadRows> {
    // The row of the edge may come again, because `from` is inclusive.
    const limit = options.limit + 1
    const own = edge !== null && 'row' in edge ? edge.row.key : null
    const lines = await this.#members.lines({
      ...selectionOf(this.criteria),
      ...range,
      limit,
      ...(this.criteria.isFolders ? { delimiter } : {}),
      ...this.#include,
      signal: options.signal,
    })
    const inOrder = (rows: readonly Row[]) => (direction === 'forward' ? [...rows] : rows.toReversed())
    const onProgress = options.onProgress && ((rows: readonly Row[]) => options.onProgress?.(inOrder(rows)))
    const read = await this.#rowsOf(lines, own, onProgress)
    return { rows: inOrder(read.rows.slice(0, options.limit)), isEnd: read.lines < limit }
  }

  /** Reads the first rows in the order of fields, which is all that is shown of it: a key says nothing of where to go on. */
  async #readSorted({ signal, onProgress }: ReadOptions): Promise<ReadRows> {
    const { order } = this.criteria
    const selection = selectionOf(this.criteria)
    const lines = await this.#members.findLines({
      ...selection,
      order,
      limit: maxSortedRows,
      ...this.#include,
      signal,
    })
    const read = await this.#rowsOf(lines, null, onProgress)
    this.isCapped = read.lines === maxSortedRows
    return { rows: read.rows, isEnd: true }
  }

  get #include(): { readonly include?: 'keys' } {
    return this.isLarge ? { include: 'keys' } : {}
  }

  /** Returns the rows of lines but one's own, and how many lines there were. */
  async #rowsOf(
    lines: AsyncIterable<Uint8Array>,
    own: string | null,
    onProgress: ReadOptions['onProgress'],
  ): Promise<{ readonly rows: readonly Row[]; readonly lines: number }> {
    const rows: Row[] = []
    let read = 0
    let shownAtMs = monotonicMs()
    for await (const line of boundedLines(atMost(lines, maxListBytes))) {
      const row = parseRow(line)
      read++
      if (row !== null && row.key !== own) rows.push(row)
      if (onProgress === undefined || monotonicMs() - shownAtMs < progressMs) continue
      shownAtMs = monotonicMs()
      onProgress([...rows])
    }
    return { rows, lines: read }
  }

  /** Counts what is selected; null where that takes too long, or may not be known. */
  async count(signal: AbortSignal): Promise<number | null> {
    const options = { ...selectionOf(this.criteria), include: 'keys', limit: 1, count: true, signal } as const
    const { count, complete } = await this.#members.findPage(options)
    return complete ? (count ?? null) : null
  }

  /** Reads rows again: about those from one to another. */
  async readAgain(first: Row, last: Row, options: ReadOptions): Promise<readonly Row[]> {
    const { rows } =
      this.criteria.order === 'asc'
        ? await this.read({ key: first.key }, 'forward', options)
        : await this.read({ key: last.key }, 'backward', options)
    return rows
  }

  /** Reads the keys around one, in the order of keys: to learn how they are distributed. */
  async keysAround(key: string, limit: number, signal: AbortSignal): Promise<readonly string[]> {
    const keys = async (options: { from: string } | { to: string; order: 'desc' }) => {
      const found = this.#members.export({
        ...selectionOf(this.criteria),
        ...options,
        limit,
        include: 'keys',
        signal,
      })
      return (await Array.fromAsync(found)).map((member) => member.key)
    }
    const [before, after] = await Promise.all([keys({ to: key, order: 'desc' }), keys({ from: key })])
    return [...before.reverse(), ...after]
  }

  /** Reads the keys from one to another, both included and in any order. */
  async keysBetween(a: string, b: string, limit: number): Promise<readonly string[]> {
    const [low, high] = compareKeys(a, b) < 0 ? [a, b] : [b, a]
    const found = this.#members.export({
      ...selectionOf(this.criteria),
      from: low,
      to: high,
      limit: limit - 1,
      include: 'keys',
    })
    return [...(await Array.fromAsync(found)).map((member) => member.key), high]
  }

  get #members(): Collection<unknown> {
    return session.kvist.collection(this.collection)
  }
}

class TooManyBytes extends Error {}

async function* atMost(chunks: AsyncIterable<Uint8Array>, maxBytes: number): AsyncGenerator<Uint8Array> {
  let bytes = 0
  for await (const chunk of chunks) {
    bytes += chunk.length
    if (bytes > maxBytes) throw new TooManyBytes()
    yield chunk
  }
}

function rangeAfter(edge: Edge): { from?: string } | null {
  if (edge === null) return {}
  if ('key' in edge) return { from: edge.key }
  if (edge.row.kind === 'member') return { from: edge.row.key }
  const from = prefixEnd(edge.row.key)
  return from === null ? null : { from }
}

function rangeBefore(edge: Edge): { to?: string } {
  if (edge === null) return {}
  return { to: 'key' in edge ? edge.key : edge.row.key }
}
