import { monotonicMs } from '../runtime/clock.ts'
import { complain } from './explain.ts'

/** Shows the progress of a long command, as a bar on standard error if that is a terminal. */
export interface Progress {
  /** Sets how much is done, in the unit of the total, and how many members that is. */
  update(done: number, members: number): void
  /** Prints a message above the bar, where it stays. */
  complain(line: string): void
  stop(): void
}

const formats = {
  bar: '{verb} [{bar}] {percentage}% | {members} members | {rate}/s | {left} left',
  count: '{verb} {members} members | {rate}/s',
}

/**
 * Starts to show progress. With a `total` of null, for unknown, there is no bar and no time left. `done` and `members`
 * are those of an earlier run.
 */
export async function startProgress(
  verb: string,
  total: number | null,
  quiet: boolean,
  done = 0,
  members = 0,
): Promise<Progress> {
  if (quiet || !process.stderr.isTTY) return { update() {}, complain, stop() {} }

  const { MultiBar } = (await import('cli-progress')).default // only MultiBar prints lines above its bars
  const bars = new MultiBar({
    format: total === null ? formats.count : formats.bar,
    stream: process.stderr,
    barsize: 24,
    clearOnComplete: true,
    forceRedraw: true,
    gracefulExit: false, // the command handles signals
    linewrap: true, // cut at the width of the terminal
  })
  const bar = bars.create(total ?? 0, done, { verb, members, rate: 0, left: '?' })
  const startedMs = monotonicMs()
  return {
    update(nowDone, nowMembers) {
      const seconds = (monotonicMs() - startedMs) / 1000
      const rate = Math.round((nowMembers - members) / seconds)
      const left = timeLeft((total ?? 0) - nowDone, (nowDone - done) / seconds)
      bar.update(nowDone, { members: nowMembers, rate, left })
    },
    complain(line) {
      bars.log(`kvist: ${line}\n`)
    },
    stop() {
      bars.update()
      bars.stop()
    },
  }
}

/** Returns the time for the rest at this rate per second, in words; a question mark while that is unknown. */
export function timeLeft(left: number, rate: number): string {
  const seconds = Math.ceil(left / rate)
  if (!Number.isFinite(seconds)) return '?'
  if (seconds < 60) return `${seconds}s`
  const minutes = Math.floor(seconds / 60)
  return minutes < 60 ? `${minutes}m${seconds % 60}s` : `${Math.floor(minutes / 60)}h${minutes % 60}m`
}
