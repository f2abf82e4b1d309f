import { type Config, parseConfig } from '../config.ts'
import { monotonicMs } from '../runtime/clock.ts'
import { options } from '../server-options.ts'
import type { CliCommand } from './command.ts'
import { signalExitCodes } from './signals.ts'

/**
 * Signals within this time count as one: Ctrl-C reaches this process twice if npm started it, and so does a stop of the
 * whole process group.
 */
const sameSignalMs = 250

export const serveCommand: CliCommand = {
  summary: 'Start the server',
  notes:
    'SIGTERM and SIGINT finish what is in flight, commit and close; a second one ends at once. With --audit-log FILE, SIGHUP opens the file anew.',
  operands: [],
  options,
  async main(args, env) {
    const config = parseConfig(args, env)
    let reopenLogs: (() => void) | null = null
    const stopAsked = firstSignal((signal) => {
      if (signal !== 'SIGHUP' || !writesFile(config)) return false
      reopenLogs?.() // while the server starts, the file has just been opened
      return true
    })
    const { serve } = await import('../serve.ts')
    const server = await serve(config)
    reopenLogs = server.reopenLogs
    await stopAsked
    await server.stop()
    process.exit(0) // anything that keeps the event loop alive must
  },
}

/** Whether SIGHUP asks for a new file, as log rotation does; otherwise it says that the terminal is gone. */
function writesFile({ auditLog }: Config): boolean {
  return auditLog !== null && auditLog !== '-'
}

/** Resolves at the first signal that `isHandled` leaves over; the next one ends the process. */
function firstSignal(isHandled: (signal: string) => boolean): Promise<void> {
  return new Promise((resolve) => {
    let firstMs: number | null = null
    for (const [signal, exitCode] of Object.entries(signalExitCodes)) {
      process.on(signal, () => {
        if (isHandled(signal)) return
        if (firstMs !== null && monotonicMs() - firstMs > sameSignalMs) process.exit(exitCode)
        firstMs ??= monotonicMs()
        resolve()
      })
    }
  })
}
