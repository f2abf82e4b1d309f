import { session } from '../api/session.svelte.ts'
import { nowMs } from '../live/now.svelte.ts'
import { parseScrape } from './prometheus.ts'
import { isRestarted, maxGapMs, type Point, type Reading, ratesBetween, readingOf } from './reading.ts'

/** The numbers of the server over time: asked for while the overview is seen, kept while the tab is open. */

/** The second reading follows sooner, so that there is something to see. */
const firstPauseMs = 1000
const pauseMs = 2000
const keptMs = 3_600_000
/** Rates over less than this would be noise. */
const leastMs = 500

class History {
  /** In the order of time. */
  points: readonly Point[] = $state.raw([])
  /** Why the last attempt failed; null if it did not. */
  error: unknown = $state.raw(null)
  #last: Reading | undefined
  #timer: ReturnType<typeof setTimeout> | undefined
  /** Aborted when nobody looks any more. */
  #following: AbortController | null = null

  /** Asks for the numbers from now on, while the page is visible. Returns what ends that. */
  follow(): () => void {
    const onVisibility = () => (document.visibilityState === 'visible' ? this.#start() : this.#stop())
    document.addEventListener('visibilitychange', onVisibility)
    onVisibility()
    return () => {
      document.removeEventListener('visibilitychange', onVisibility)
      this.#stop()
    }
  }

  get latest(): Reading | undefined {
    return this.points.at(-1)?.reading ?? undefined
  }

  /** Forgets everything: another token may see another server's numbers, or none. */
  clear(): void {
    this.points = []
    this.#last = undefined
    this.error = null
  }

  #start(): void {
    if (this.#following !== null) return
    this.#following = new AbortController()
    void this.#poll(this.#following.signal)
  }

  #stop(): void {
    this.#following?.abort()
    this.#following = null
    clearTimeout(this.#timer)
  }

  async #poll(signal: AbortSignal): Promise<void> {
    try {
      this.#add(readingOf(parseScrape(await metrics(signal)), nowMs()))
      this.error = null
    } catch (error) {
      if (!signal.aborted) this.error = error
    }
    if (signal.aborted) return
    this.#timer = setTimeout(() => this.#poll(signal), this.points.length < 2 ? firstPauseMs : pauseMs)
  }

  #add(reading: Reading): void {
    const { atMs } = reading
    const last = this.#last
    if (last !== undefined && Math.abs(atMs - last.atMs) < leastMs) return
    const hasGap = last !== undefined && (isRestarted(last, reading) || atMs - last.atMs > maxGapMs)
    const gap: readonly Point[] = hasGap ? [{ atMs: atMs - 1, reading: null, rates: null }] : []
    const kept = this.points.filter((point) => point.atMs >= atMs - keptMs)
    this.points = [...kept, ...gap, { atMs, reading, rates: ratesBetween(last, reading) }]
    this.#last = reading
  }
}

async function metrics(signal: AbortSignal): Promise<string> {
  const { authorization } = session
  const response = await fetch('/metrics', {
    signal,
    headers: authorization === null ? {} : { authorization },
  })
  if (response.ok) return response.text()
  // The token may have been revoked: that ends the session.
  if (response.status === 401) await session.check()
  throw new Error(`the server responded to the request for its numbers with ${response.status}`)
}

export const history = new History()
