import { SvelteMap, SvelteSet } from 'svelte/reactivity'
import { session } from '../api/session.svelte.ts'
import { type Change, feed } from '../live/feed.svelte.ts'
import { entryOf, keyTest } from './criteria.ts'
import { compareKeys } from './keys.ts'
import type { MemberList } from './member-list.svelte.ts'

/**
 * What has changed in a list since its rows were read. Rows that are being looked at are read again, all of them together
 * and not more often than a few times a second, however fast the changes come. Others wait until they are looked at. New
 * members are only counted, so that no row moves.
 */

const readAgainMs = 300
const glowMs = 1600
/** More keys than these are not kept: "1,000+ new". */
const maxNew = 1000
/** Some more than a window of the list has. */
const maxStale = 5000

export class Live {
  /** Deleted or expired, still shown. */
  readonly gone = new SvelteSet<string>()
  /** Keys of rows that have just changed. */
  readonly glowing = new SvelteSet<string>()
  readonly #new = new SvelteMap<string, true>()
  /** Changed, and not read again yet. */
  readonly #stale = new Set<string>()
  readonly #list: MemberList
  #from = 0
  #to = 0
  #timer: ReturnType<typeof setTimeout> | null = null

  constructor(list: MemberList) {
    this.#list = list
  }

  /** New members that belong between the rows that are loaded, or beside them. */
  get newMembers(): number {
    return this.#new.size
  }

  get hasMoreNew(): boolean {
    return this.#new.size >= maxNew
  }

  /** Follows the feed; returns what ends that. */
  follow(collection: string, onReset: () => void): () => void {
    const { criteria } = this.#list.source
    const isSelected = keyTest(criteria)
    const end = feed.onChange(
      { collection, prefix: criteria.prefix },
      (changes) => {
        for (const change of changes) if (isSelected(change.key)) this.#take(change)
        this.#schedule()
      },
      onReset,
    )
    return () => {
      end()
      if (this.#timer !== null) clearTimeout(this.#timer)
    }
  }

  /** Says which rows are being looked at. */
  show(from: number, to: number): void {
    this.#from = from
    this.#to = to
    if (this.gone.size > 0) this.#forgetGone()
    if (this.#stale.size > 0) this.#schedule()
  }

  /** After everything was read anew. */
  reset(): void {
    this.gone.clear()
    this.#new.clear()
    this.#stale.clear()
  }

  #take({ type, key }: Change): void {
    const entry = entryOf(key, this.#list.source.criteria)
    const isRow = this.#list.indexOf(entry) !== -1
    if (entry !== key) {
      if (!isRow && type === 'put' && this.#isWithin(entry)) this.#count(entry)
    } else if (type !== 'put') {
      this.#new.delete(key)
      this.#stale.delete(key)
      if (isRow) this.gone.add(key)
    } else if (isRow) {
      this.gone.delete(key)
      this.#stale.add(key)
      if (this.#stale.size > maxStale) this.#forgetStale()
    } else if (this.#isWithin(key)) this.#count(key)
  }

  /** Whether the value may still keep a member out of the list cannot be told from the change. */
  #count(key: string): void {
    const { criteria, isByKey } = this.#list.source
    const isSelected = criteria.match === '' && criteria.where === '' && isByKey
    if (isSelected && this.#new.size < maxNew) this.#new.set(key, true)
  }

  /** Whether a key belongs between the first and the last row that are loaded: elsewhere it may have been there before. */
  #isWithin(key: string): boolean {
    const { rows, isAtStart, isAtEnd, source } = this.#list
    const sign = source.criteria.order === 'asc' ? 1 : -1
    const first = rows[0]
    const last = rows.at(-1)
    if (first === undefined || last === undefined) return this.#list.isReady
    const isAfterFirst = isAtStart || sign * compareKeys(key, first.key) > 0
    return isAfterFirst && (isAtEnd || sign * compareKeys(key, last.key) < 0)
  }

  #schedule(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = null
      void this.#readAgain()
    }, readAgainMs)
  }

  async #readAgain(): Promise<void> {
    const list = this.#list
    // An empty list has nothing that could move.
    if (list.rows.length === 0 && list.isAtStart && this.#new.size > 0 && !list.isLoading) {
      this.reset()
      await list.toStart()
      return
    }
    const shown = list.rows.slice(Math.max(0, this.#from - list.first), Math.max(0, this.#to - list.first))
    const stale = shown.filter(({ key }) => this.#stale.has(key))
    if (stale.length === 0) return
    for (const { key } of stale) this.#stale.delete(key)
    try {
      this.#glow(await list.readAgain(this.#from, this.#to))
    } catch (error) {
      for (const { key } of stale) this.#stale.add(key)
      session.noticed(error)
    }
  }

  #glow(keys: readonly string[]): void {
    for (const key of keys) this.glowing.add(key)
    setTimeout(() => {
      for (const key of keys) this.glowing.delete(key)
    }, glowMs)
  }

  /** Rows that are not in the window are read before they are shown again. */
  #forgetStale(): void {
    for (const key of this.#stale) if (this.#list.indexOf(key) === -1) this.#stale.delete(key)
  }

  /** Rows that are gone leave the list once they are not looked at any more. */
  #forgetGone(): void {
    const hidden = [...this.gone].filter((key) => {
      const index = this.#list.indexOf(key)
      return index === -1 || index < this.#from || index >= this.#to
    })
    if (hidden.length === 0) return
    for (const key of hidden) this.gone.delete(key)
    this.#list.remove(new Set(hidden))
  }
}
