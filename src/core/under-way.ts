/** Knows which work is under way, so that a caller can wait for what began before a moment. */
export interface UnderWay {
  /** Notes that work begins. Pass the result to `end` once it has ended, also if it has failed. */
  begin(): Era
  end(era: Era): void
  run<Result>(work: () => Promise<Result>): Promise<Result>
  /** Resolves when all that began before the call has ended. */
  settled(): Promise<void>
}

/** All work that began between two calls of `settled`. */
export interface Era {
  count: number
  onEmpty: () => void
}

const nothing = () => {}

export function workUnderWay(): UnderWay {
  let era: Era = { count: 0, onEmpty: nothing }
  let earlier: Promise<unknown> = Promise.resolve()

  function end(ended: Era): void {
    ended.count--
    if (ended.count === 0) ended.onEmpty()
  }

  function begin(): Era {
    era.count++
    return era
  }

  return {
    begin,
    end,
    async run(work) {
      const own = begin()
      try {
        return await work()
      } finally {
        end(own)
      }
    },
    async settled() {
      const last = era
      era = { count: 0, onEmpty: nothing }
      const isEmpty = last.count === 0 ? undefined : new Promise<void>((resolve) => (last.onEmpty = resolve))
      earlier = Promise.all([earlier, isEmpty])
      await earlier
    },
  }
}
