import { session } from '../api/session.svelte.ts'
import { toasts } from '../ui/toasts.svelte.ts'
import { Live } from './live.svelte.ts'
import { MemberList } from './member-list.svelte.ts'
import type { Row } from './row.ts'
import { ScrollScale } from './scroll-scale.ts'
import { Selected } from './selected.svelte.ts'
import type { RowSource } from './source.ts'

/** A list as it is seen: where it is scrolled to, the row that the keyboard is at, and what is selected. */

const wideRowPx = 34
/** Two lines, where there is no room for one. */
const narrowRowPx = 52
const narrowPx = 460
/** Rows that are rendered beyond what is seen, so that scrolling finds them there. */
const overscan = 12
/** Scrolling has stopped when nothing has been scrolled for so long. */
const stillMs = 150
const maxRange = 10_000

export class ListView {
  readonly list: MemberList
  readonly live: Live
  readonly selected = new Selected()
  /** The index of the row that the keyboard is at; -1 for none. */
  cursor: number = $state(-1)
  top: number = $state(0)
  rowPx: number = $state(wideRowPx)
  #viewPx: number = $state(0)
  #shiftPx: number = $state(0)
  readonly #scale = new ScrollScale()
  #element: HTMLElement | null = null
  #spacer: HTMLElement | null = null
  #stillTimer: ReturnType<typeof setTimeout> | null = null
  /** The range that Shift has selected last, which another one from the same row replaces. */
  #range: readonly string[] = []

  constructor(source: RowSource, total: number | null) {
    this.list = new MemberList(source, total, { onShift: (rows) => this.#onShift(rows) })
    this.live = new Live(this.list)
  }

  readonly firstSeen = $derived.by(() => Math.floor(this.top / this.rowPx))
  readonly lastSeen = $derived.by(() =>
    Math.max(
      this.firstSeen,
      Math.min(this.list.total, Math.floor((this.top + this.#viewPx - 1) / this.rowPx) + 1) - 1,
    ),
  )
  readonly from = $derived.by(() => Math.max(0, this.firstSeen - overscan))
  readonly to = $derived.by(() => Math.min(this.list.total, this.lastSeen + 1 + overscan))
  /** Where the rendered rows begin within the scrolling element. */
  readonly offsetPx = $derived.by(() => Math.round(this.from * this.rowPx - this.#shiftPx))
  readonly cursorKey = $derived.by(() => this.list.rowAt(this.cursor)?.key ?? null)

  /** Renders into an element, which scrolls, and one within it, which has the height of the list. Returns what ends it. */
  attach(element: HTMLElement, spacer: HTMLElement): () => void {
    this.#element = element
    this.#spacer = spacer
    const observer = new ResizeObserver(() => this.#measure())
    observer.observe(element)
    this.#measure()
    const onScroll = () => this.#onScroll()
    element.addEventListener('scroll', onScroll, { passive: true })
    return () => {
      observer.disconnect()
      element.removeEventListener('scroll', onScroll)
      if (this.#stillTimer !== null) clearTimeout(this.#stillTimer)
      this.#element = null
    }
  }

  /** The total or the size of rows has changed. */
  layOut(): void {
    const { top } = this
    this.#scale.resize(this.list.total * this.rowPx, this.#viewPx)
    if (this.#spacer !== null) this.#spacer.style.height = `${this.#scale.realPx}px`
    this.#moveTo(top)
  }

  /** Says what is looked at, so that it is loaded. */
  show(): void {
    this.list.show(this.firstSeen, this.lastSeen + 1)
    this.live.show(this.firstSeen, this.lastSeen + 1)
  }

  async refresh(): Promise<void> {
    const isCursorSeen = this.cursor >= this.firstSeen && this.cursor <= this.lastSeen
    await this.list.refresh(this.top === 0 ? 0 : isCursorSeen ? this.cursor : this.firstSeen)
    this.live.reset()
  }

  /** Moves the cursor; with `isRange` what is between where it began and where it comes to is selected. */
  move(rows: number, isRange = false): void {
    const before = this.cursor
    const start = before === -1 ? this.firstSeen - Math.sign(rows) * (rows > 0 ? 1 : 0) : before
    this.cursor = Math.max(0, Math.min(this.list.total - 1, start + rows))
    this.reveal()
    if (isRange) void this.selectRange(this.cursor, Math.max(before, 0))
  }

  movePage(pages: number, isRange = false): void {
    this.move(pages * Math.max(1, Math.floor(this.#viewPx / this.rowPx) - 1), isRange)
  }

  home(): void {
    this.cursor = 0
    this.#moveTo(0)
  }

  async end(): Promise<void> {
    await this.list.toEnd()
    this.cursor = this.list.total - 1
    this.#moveTo(Number.POSITIVE_INFINITY)
  }

  reveal(): void {
    const start = this.cursor * this.rowPx
    if (start < this.top) this.#moveTo(start)
    else if (start + this.rowPx > this.top + this.#viewPx) this.#moveTo(start + this.rowPx - this.#viewPx)
  }

  toggle(index: number): void {
    const row = this.list.rowAt(index)
    this.cursor = index
    this.#range = []
    if (row?.kind === 'member') this.selected.toggle(row.key)
  }

  /** Selects from the row where a selection began, or `anchor`, to one. */
  async selectRange(to: number, anchor = this.cursor): Promise<void> {
    const { selected, list } = this
    selected.anchor ??= list.rowAt(anchor)?.key ?? null
    const from = selected.anchor === null ? -1 : list.indexOf(selected.anchor)
    const end = list.rowAt(to)
    this.cursor = to
    if (end === undefined || selected.anchor === null) return
    const keys = from === -1 ? await this.#keysBetween(selected.anchor, end) : this.#keysOf(from, to)
    if (selected.isAll) selected.clear()
    for (const key of this.#range) selected.keys.delete(key)
    this.#range = keys
    selected.add(keys)
  }

  #keysOf(a: number, b: number): string[] {
    const { rows, first } = this.list
    const range = rows.slice(Math.max(0, Math.min(a, b) - first), Math.max(a, b) + 1 - first)
    return range.filter(isMember).map(({ key }) => key)
  }

  /** The row where the range begins is not loaded any more. */
  async #keysBetween(anchor: string, end: Row): Promise<string[]> {
    try {
      const keys = await this.list.source.keysBetween(anchor, end.key, maxRange)
      if (keys.length === maxRange)
        toasts.show(`No more than ${maxRange.toLocaleString('en')} members are selected one by one`)
      return [...keys]
    } catch (error) {
      session.noticed(error)
      toasts.failed(error)
      return []
    }
  }

  #measure(): void {
    if (this.#element === null) return
    const { clientHeight, clientWidth } = this.#element
    const rowPx = clientWidth > 0 && clientWidth < narrowPx ? narrowRowPx : wideRowPx
    const top = (this.top / this.rowPx) * rowPx
    this.#viewPx = clientHeight
    this.rowPx = rowPx
    this.top = top
    this.layOut()
  }

  #onScroll(): void {
    if (this.#element === null) return
    this.#scale.scrolled(this.#element.scrollTop)
    if (this.#scale.isCramped) this.#settle()
    this.#publish()
    if (this.#stillTimer !== null) clearTimeout(this.#stillTimer)
    this.#stillTimer = setTimeout(() => this.#settle(), stillMs)
  }

  #settle(): void {
    const { settledPx, top } = this.#scale
    if (this.#element !== null && Math.abs(settledPx - this.#element.scrollTop) > 1) this.#moveTo(top)
  }

  #moveTo(top: number): void {
    const realTopPx = this.#scale.moveTo(top)
    if (this.#element !== null) {
      this.#element.scrollTop = realTopPx
      this.#scale.arrived(this.#element.scrollTop)
    }
    this.#publish()
  }

  #publish(): void {
    this.top = this.#scale.top
    this.#shiftPx = this.#scale.shift
  }

  /** The rows have other indices: what is seen stays where it is. */
  #onShift(rows: number): void {
    if (this.cursor !== -1) this.cursor = Math.max(0, this.cursor + rows)
    this.top += rows * this.rowPx
    this.layOut()
  }
}

function isMember(row: Row): boolean {
  return row.kind === 'member'
}
