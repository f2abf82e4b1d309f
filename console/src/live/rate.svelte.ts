/** Changes a second, over the last few seconds. */

const windowSeconds = 5

export interface RateMeter {
  /** Reactive. */
  readonly perSecond: number
  count(): void
}

export function rateMeter(): RateMeter {
  let perSecond = $state(0)
  let current = 0
  const seconds: number[] = []
  setInterval(() => {
    seconds.push(current)
    current = 0
    if (seconds.length > windowSeconds) seconds.shift()
    perSecond = Math.round(seconds.reduce((sum, count) => sum + count, 0) / seconds.length)
  }, 1000)
  return {
    get perSecond() {
      return perSecond
    },
    count() {
      current++
    },
  }
}
