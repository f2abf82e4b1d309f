import type { Timers } from '../timers.ts'

/** Pauses that end when the builder is stopped. */
export interface Pauses {
  pause(ms: number): Promise<void>
  isStopped(): boolean
  stop(): void
}

export function pausesOf(timers: Timers): Pauses {
  let isStopped = false
  let end = () => {}
  return {
    pause: (ms) =>
      new Promise((resolve) => {
        if (isStopped) return resolve()
        const cancel = timers.after(ms, resolve)
        end = () => {
          cancel()
          resolve()
        }
      }),
    isStopped: () => isStopped,
    stop() {
      isStopped = true
      end()
    },
  }
}
