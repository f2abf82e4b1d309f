import type { CollectionInfo } from 'kvist-client'
import { session } from '../api/session.svelte.ts'
import { feed } from '../live/feed.svelte.ts'
import { monotonicMs } from '../live/now.svelte.ts'

/** The collections of the store: read once for the whole page, and again when changes arrive. */

/** After changes the list is read again this much later, and not more often. */
const refreshMs = 1500
/** A list that takes long is read less often: this many times as long lies between. */
const restFactor = 20

class Collections {
  all: readonly CollectionInfo[] = $state.raw([])
  /** Read at least once. */
  isLoaded = $state(false)
  error: unknown = $state.raw(null)
  #timer: ReturnType<typeof setTimeout> | null = null
  #pauseMs = refreshMs

  /** Keeps the list up to date; returns what ends that. */
  follow(): () => void {
    void this.load()
    const end = feed.onChange(
      {},
      () => this.#loadSoon(),
      () => void this.load(),
    )
    return () => {
      end()
      if (this.#timer !== null) clearTimeout(this.#timer)
      this.#timer = null
    }
  }

  async load(): Promise<void> {
    const startedMs = monotonicMs()
    try {
      const all = await Array.fromAsync(session.kvist.collections())
      if (!isSame(all, this.all)) this.all = all
      this.error = null
      this.isLoaded = true
    } catch (error) {
      session.noticed(error)
      this.error = error
    }
    const tookMs = monotonicMs() - startedMs
    this.#pauseMs = Math.max(refreshMs, restFactor * tookMs)
  }

  /** Returns a collection by its name, if it has members. */
  byName(name: string): CollectionInfo | undefined {
    return this.all.find((collection) => collection.name === name)
  }

  #loadSoon(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = null
      void this.load()
    }, this.#pauseMs)
  }
}

function isSame(some: readonly CollectionInfo[], others: readonly CollectionInfo[]): boolean {
  return (
    some.length === others.length &&
    some.every(({ name, members, bytes }, i) => {
      const other = others[i]!
      return name === other.name && members === other.members && bytes === other.bytes
    })
  )
}

export const collections = new Collections()
