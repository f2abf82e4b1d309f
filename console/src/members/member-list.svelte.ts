import { session } from '../api/session.svelte.ts'
import { Details } from './details.ts'
import { Positions } from './positions.ts'
import type { Row } from './row.ts'
import type { Direction, Edge, RowSource } from './source.ts'

/**
 * The rows of a list of any length, of which a window is loaded: consecutive rows, and at which index the first of them
 * is. The window grows towards where the list is looked at, loses what is far from there, and is read anew elsewhere when
 * that is far away.
 *
 * Invariant: the rows of the window are consecutive in the store as of when they were read. Their index is exact when they
 * were reached from the start or the end, and otherwise an estimate, which is corrected when an end is reached: `onShift`
 * says by how many rows, so that nothing moves on the screen.
 */

/** How many rows one request reads while the list is scrolled. */
const pageRows = 200
/** Rows around where the list is looked at after a jump. */
const jumpRows = 120
/** So near to the edge of the window the next rows are read. */
const nearRows = 150
const maxRows = 3000
/** Keys that are read around a guess. */
const probeKeys = 60
/** How many more rows a list of unknown length is shown with. */
const moreRows = 30
/** How many rows are taken to be above the last ones when the end of such a list is read. */
const guessedRows = 1000
/** A position must be looked at this long before the rows there are read: the scrollbar is being dragged. */
const settleMs = 60

export interface ListEvents {
  /** The indices of all rows in the window have changed by this much. */
  onShift(rows: number): void
}

export class MemberList {
  rows: readonly Row[] = $state.raw([])
  /** The index of the first row of the window. */
  first: number = $state(0)
  total: number = $state(0)
  /** Whether `total` was counted rather than guessed. */
  isCounted: boolean = $state(false)
  /** Whether the indices are known rather than estimated. */
  isExact: boolean = $state(true)
  isAtStart: boolean = $state(false)
  isAtEnd: boolean = $state(false)
  /** Loaded at least once. */
  isReady: boolean = $state(false)
  isLoading: boolean = $state(false)
  error: unknown = $state.raw(null)
  readonly source: RowSource
  readonly #events: ListEvents
  readonly #positions = new Positions()
  readonly #details: Details
  #abort = new AbortController()
  /** What is being read at the two edges of the window. */
  readonly #reading = new Set<Direction>()
  /** Where the list is looked at. */
  #from = 0
  #to = 0

  /** `total` is how many rows the list has, where that is known. */
  constructor(source: RowSource, total: number | null, events: ListEvents) {
    this.source = source
    this.#details = new Details(source.collection)
    this.#events = events
    this.setTotal(total)
    void this.toStart()
  }

  /** Ends what is being read. */
  close(): void {
    this.#abort.abort()
  }

  /** The count changes as members come and go. */
  setTotal(total: number | null): void {
    if (total === null || (this.isAtStart && this.isAtEnd)) return
    this.isCounted = true
    this.total = Math.max(total, this.first + this.rows.length)
  }

  rowAt(index: number): Row | undefined {
    return this.rows[index - this.first]
  }

  /** Returns the index of a row in the window; -1 if it is not in it. */
  indexOf(key: string): number {
    const at = this.#indices.get(key)
    return at === undefined ? -1 : at + this.first
  }

  readonly #indices = $derived(new Map(this.rows.map(({ key }, at) => [key, at])))

  /** Says which rows are being looked at: loads them and those beside them. */
  show(from: number, to: number): void {
    this.#from = from
    this.#to = to
    if (!this.isReady || this.error !== null) return
    const end = this.first + this.rows.length
    if (to < this.first - nearRows || from > end + nearRows) {
      if (from !== this.#jumpingTo) void this.#jump(from)
      return
    }
    // What is looked at is loaded: the rows of where that was before are not needed.
    if (this.#jumpingTo !== -1) this.#cancel()
    if (this.source.isLarge)
      void this.#readDetails(this.rows.slice(Math.max(0, from - this.first), to - this.first))
    if (this.isLoading) return
    if (to > end - nearRows && !this.isAtEnd) void this.#extend('forward')
    if (from < this.first + nearRows && !this.isAtStart) void this.#extend('backward')
  }

  toStart(): Promise<void> {
    return this.#replace((signal) => this.#readStart(signal))
  }

  /** Resolves when the last rows are in the window. */
  async toEnd(): Promise<void> {
    if (!this.isAtEnd) await this.#replace((signal) => this.#readEnd(signal))
  }

  /** Reads the rows around a key, which then are around an index. */
  async toKey(key: string, index: number): Promise<void> {
    await this.#replace((signal) => this.#readAround({ key }, index, signal))
  }

  /** Reads everything anew, with the row at an index staying where it is. */
  async refresh(index: number): Promise<void> {
    const row = this.rowAt(index)
    const isWhole = index === 0 && this.isAtStart
    if (row === undefined || isWhole || !this.source.isByKey) await this.toStart()
    else await this.toKey(row.key, index)
  }

  /** Reads rows again that are in the window, and replaces those that have changed; returns the keys of these. */
  async readAgain(from: number, to: number): Promise<readonly string[]> {
    const first = this.rowAt(Math.max(from, this.first))
    const last = this.rowAt(Math.min(to, this.first + this.rows.length) - 1)
    if (first === undefined || last === undefined) return []
    if (this.source.isLarge || !this.source.isByKey) {
      const seen = this.rows.slice(
        this.indexOf(first.key) - this.first,
        this.indexOf(last.key) + 1 - this.first,
      )
      return this.#readDetails(seen, true)
    }
    const options = { limit: to - from + 20, signal: this.#abort.signal }
    const read = new Map((await this.source.readAgain(first, last, options)).map((row) => [row.key, row]))
    return this.#update(read)
  }

  /** Puts what was read of rows in their place; returns the keys of those that have changed. */
  #update(read: ReadonlyMap<string, Row>): readonly string[] {
    const changed: string[] = []
    this.rows = this.rows.map((row) => {
      const now = read.get(row.key)
      if (now === undefined || !isChanged(row, now)) return row
      changed.push(row.key)
      return now
    })
    return changed
  }

  /** Reads rows one by one: those that were listed without their values, or all of them again. */
  async #readDetails(rows: readonly Row[], isAgain = false): Promise<readonly string[]> {
    const changed: string[] = []
    await this.#details.read(rows, isAgain, this.#abort.signal, (row) => {
      changed.push(...this.#update(new Map([[row.key, row]])))
    })
    return changed
  }

  /** Takes rows out that are not being looked at; the others keep their indices. */
  remove(keys: ReadonlySet<string>): void {
    const isGone = (row: Row, at: number) => {
      const index = this.first + at
      return keys.has(row.key) && (index < this.#from || index >= this.#to)
    }
    const before = this.rows.filter((row, at) => isGone(row, at) && this.first + at < this.#from).length
    const rows = this.rows.filter((row, at) => !isGone(row, at))
    if (rows.length === this.rows.length) return
    this.rows = rows
    this.first += before
    if (this.isAtStart && before > 0) this.#shift(-before)
    if (this.isAtEnd) this.total = this.first + rows.length
  }

  async #jump(index: number): Promise<void> {
    await this.#replace(async (signal) => {
      this.#jumpingTo = index
      await new Promise((resolve) => setTimeout(resolve, settleMs))
      if (signal.aborted) return
      if (index < nearRows) return this.#readStart(signal)
      if (index > this.total - nearRows) return this.#readEnd(signal)
      await this.#learnEnds(signal)
      const isRising = this.source.criteria.order === 'asc'
      const position = isRising ? index : this.total - 1 - index
      const probe = (key: string) => this.source.keysAround(key, probeKeys, signal)
      const found = await this.#positions.find(position, this.total, probe)
      if (found !== null) await this.#readAround({ key: found.key }, index, signal)
    })
  }

  #jumpingTo = -1

  /** The first jump finds out where the list begins and ends. */
  async #learnEnds(signal: AbortSignal): Promise<void> {
    if (this.#hasLearnedEnds) return
    const options = { limit: jumpRows, signal }
    const ends = await Promise.all([
      this.source.read(null, 'forward', options),
      this.source.read(null, 'backward', options),
    ])
    for (const { rows } of ends) this.#learn(rows)
    this.#hasLearnedEnds = true
  }
  #hasLearnedEnds = false

  async #readStart(signal: AbortSignal): Promise<void> {
    const onProgress = (rows: readonly Row[]) => {
      if (!signal.aborted) this.#setRows(rows, { first: 0, isAtStart: true })
    }
    const { rows, isEnd } = await this.source.read(null, 'forward', { limit: pageRows, signal, onProgress })
    if (signal.aborted) return
    this.#setRows(rows, { first: 0, isAtStart: true, isAtEnd: isEnd })
    if (!isEnd && !this.isCounted && !this.source.criteria.isFolders) void this.#count(signal)
  }

  /** A list without a count has the scrollbar of what was seen of it. */
  async #count(signal: AbortSignal): Promise<void> {
    const total = await this.source.count(signal).catch(() => null)
    if (!signal.aborted) this.setTotal(total)
  }

  async #readEnd(signal: AbortSignal): Promise<void> {
    const { rows, isEnd } = await this.source.read(null, 'backward', { limit: pageRows, signal })
    if (signal.aborted) return
    const total = this.isCounted ? this.total : this.first + this.rows.length + guessedRows
    const first = isEnd ? 0 : Math.max(total - rows.length, 1)
    this.#setRows(rows, { first, isAtStart: isEnd, isAtEnd: true })
    // That is where whoever has asked for it will look.
    this.#from = this.total - 1
    this.#to = this.total
  }

  async #readAround(edge: Edge, index: number, signal: AbortSignal): Promise<void> {
    const isRising = this.source.criteria.order === 'asc'
    const options = { limit: jumpRows, signal }
    const [before, after] = await Promise.all([
      this.source.read(edge, 'backward', options),
      this.source.read(edge, 'forward', options),
    ])
    if (signal.aborted) return
    const rows = [...before.rows, ...after.rows]
    // In a falling list the row of the key itself is the last of those before.
    const above = Math.max(0, before.rows.length - (isRising ? 0 : 1))
    this.#setRows(rows, {
      first: before.isEnd ? 0 : index - above,
      isAtStart: before.isEnd,
      isAtEnd: after.isEnd,
    })
    if (before.isEnd) this.#events.onShift(above - index)
  }

  /** Reads a window in place of the present one. A later call ends an earlier one. */
  async #replace(read: (signal: AbortSignal) => Promise<void>): Promise<void> {
    const abort = this.#cancel()
    this.isLoading = true
    try {
      await read(abort.signal)
      if (abort.signal.aborted) return
      this.error = null
      this.isReady = true
    } catch (error) {
      if (abort.signal.aborted) return
      this.#failed(error)
    }
    this.isLoading = false
    this.#jumpingTo = -1
    this.show(this.#from, this.#to)
  }

  /** Ends what is being read; returns what ends the next. */
  #cancel(): AbortController {
    this.#abort.abort()
    this.#abort = new AbortController()
    this.#reading.clear()
    this.#jumpingTo = -1
    this.isLoading = false
    return this.#abort
  }

  async #extend(direction: Direction): Promise<void> {
    if (this.#reading.has(direction)) return
    this.#reading.add(direction)
    const { signal } = this.#abort
    const edge = direction === 'forward' ? this.rows.at(-1) : this.rows[0]
    try {
      const options = { limit: pageRows, signal }
      const { rows, isEnd } = await this.source.read(
        edge === undefined ? null : { row: edge },
        direction,
        options,
      )
      const edgeNow = direction === 'forward' ? this.rows.at(-1) : this.rows[0]
      if (signal.aborted || edgeNow?.key !== edge?.key) return
      if (direction === 'forward') this.#append(rows, isEnd)
      else this.#prepend(rows, isEnd)
    } catch (error) {
      if (!signal.aborted) this.#failed(error)
    } finally {
      if (!signal.aborted) this.#reading.delete(direction)
    }
    if (!signal.aborted) this.show(this.#from, this.#to)
  }

  #append(rows: readonly Row[], isEnd: boolean): void {
    const all = [...this.rows, ...rows]
    const excess = Math.max(0, Math.min(all.length - maxRows, this.#from - this.first - nearRows))
    this.rows = all.slice(excess)
    this.first += excess
    if (excess > 0) this.isAtStart = false
    this.isAtEnd = isEnd
    this.#learn(rows)
    this.#settle()
  }

  #prepend(rows: readonly Row[], isEnd: boolean): void {
    const all = [...rows, ...this.rows]
    const end = this.first + this.rows.length
    const excess = Math.max(0, Math.min(all.length - maxRows, end - this.#to - nearRows))
    this.rows = all.slice(0, all.length - excess)
    this.first -= rows.length
    if (excess > 0) this.isAtEnd = false
    this.isAtStart = isEnd
    this.#learn(rows)
    this.#settle()
  }

  #setRows(rows: readonly Row[], at: WindowStart): void {
    this.rows = rows
    this.first = at.first
    this.isAtStart = at.isAtStart ?? false
    this.isAtEnd = at.isAtEnd ?? false
    this.isExact = this.isAtStart
    this.isReady = true
    this.#learn(rows)
    this.#settle()
  }

  /** Corrects the indices and the total by what has become known. */
  #settle(): void {
    const end = this.first + this.rows.length
    if (this.isAtStart && this.first !== 0) this.#shift(-this.first)
    else if (this.first <= 0 && !this.isAtStart) this.#shift(moreRows - this.first)
    else if (this.isAtEnd && !this.isExact && this.isCounted && end !== this.total)
      this.#shift(this.total - end)
    else if (!this.isAtEnd && !this.isExact && this.isCounted && end >= this.total)
      this.#shift(this.total - end - moreRows)
    if (this.isAtStart || (this.isAtEnd && this.isCounted)) this.isExact = true
    this.#setKnownTotal(this.first + this.rows.length)
  }

  #setKnownTotal(end: number): void {
    if (this.isAtEnd && this.isExact) {
      this.total = end
      this.isCounted = true
    } else if (this.isAtEnd) this.total = end
    else this.total = this.isCounted ? Math.max(this.total, end + 1) : Math.max(this.total, end + moreRows)
  }

  #shift(rows: number): void {
    if (rows === 0) return
    this.first += rows
    this.total = Math.max(this.total, this.first + this.rows.length)
    this.#events.onShift(rows)
  }

  #learn(rows: readonly Row[]): void {
    const keys = rows.map(({ key }) => key)
    this.#positions.learn(this.source.criteria.order === 'asc' ? keys : keys.reverse())
  }

  #failed(error: unknown): void {
    session.noticed(error)
    this.error = error
  }
}

interface WindowStart {
  readonly first: number
  readonly isAtStart?: boolean
  readonly isAtEnd?: boolean
}

function isChanged(before: Row, now: Row): boolean {
  if (before.kind === 'folder' || now.kind === 'folder') return before.kind !== now.kind
  return before.revision !== now.revision || before.expiresAtMs !== now.expiresAtMs
}
