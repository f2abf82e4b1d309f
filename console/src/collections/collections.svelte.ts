import type { CollectionInfo } from 'kvist-client'
import { session } from '../api/session.svelte.ts'
import { feed } from '../live/feed.svelte.ts'

/** The collections of the store: loaded once, read again when changes arrive, for the pane and the page together. */

/** After changes the list is read again this much later, and not more often. */
const refreshMs = 2000

class Collections {
  all: readonly CollectionInfo[] = $state.raw([])
  /** Loaded at least once. */
  isLoaded = $state(false)
  error: unknown = $state.raw(null)
  #timer: ReturnType<typeof setTimeout> | null = null

  /** Keeps the list up to date; returns what ends that. */
  follow(): () => void {
    void this.load()
    const end = feed.onChange(
      {},
      () => this.#soon(),
      () => void this.load(),
    )
    return () => {
      end()
      if (this.#timer !== null) clearTimeout(this.#timer)
      this.#timer = null
    }
  }

  async load(): Promise<void> {
    try {
      this.all = await Array.fromAsync(session.kvist.collections())
      this.error = null
      this.isLoaded = true
    } catch (error) {
      session.noticed(error)
      this.error = error
    }
  }

  /** The collection by its name, if it has members. */
  byName(name: string): CollectionInfo | undefined {
    return this.all.find((collection) => collection.name === name)
  }

  #soon(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = null
      void this.load()
    }, refreshMs)
  }
}

export const collections = new Collections()
