import { type Change, feed } from './feed.svelte.ts'

/** How many changes each collection had in the last minute and a half, for sparklines. Its memory is bounded. */

const bucketMs = 2000
const buckets = 45
/** Of so many collections, those that changed last. */
const maxCollections = 200

const none: readonly number[] = []

class Activity {
  readonly #counts = new Map<string, number[]>()
  /** Grows with every tick: what reads counts runs again. */
  #version = $state(0)

  /** Counts while the calling effect lives; returns what ends that. */
  follow(): () => void {
    const end = feed.onChange({}, (changes) => this.#add(changes))
    const timer = setInterval(() => this.#tick(), bucketMs)
    return () => {
      end()
      clearInterval(timer)
    }
  }

  /** Returns the changes of a collection in each bucket that is over, the oldest first; empty if there were none. Reactive. */
  of(collection: string): readonly number[] {
    return this.#version >= 0 ? (this.#counts.get(collection)?.slice(0, -1) ?? none) : none
  }

  #add(changes: readonly Change[]): void {
    for (const { collection } of changes) {
      const counts = this.#counts.get(collection) ?? new Array<number>(buckets).fill(0)
      counts[buckets - 1]!++
      // The most recent one goes last, so that the first is the one to forget.
      this.#counts.delete(collection)
      this.#counts.set(collection, counts)
    }
    while (this.#counts.size > maxCollections) this.#counts.delete(this.#counts.keys().next().value!)
  }

  #tick(): void {
    if (this.#counts.size === 0) return
    for (const [collection, counts] of this.#counts) {
      counts.shift()
      counts.push(0)
      if (counts.every((count) => count === 0)) this.#counts.delete(collection)
    }
    this.#version++
  }
}

export const activity = new Activity()
