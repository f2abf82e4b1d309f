import { options, parseConfig } from '../config.ts'
import { monotonicMs } from '../runtime/clock.ts'
import type { CliCommand } from './command.ts'
import { signalExitCodes } from './signals.ts'

/**
 * Signals within this time count as one: Ctrl-C reaches this process twice if npm started it, and so does a stop of the
 * whole process group.
 */
const sameSignalMs = 250

export const serveCommand: CliCommand = {
  summary: 'Start the server',
  notes: 'SIGTERM and SIGINT finish what is in flight, commit and close; a second one ends at once.',
  operands: [],
  options,
  async main(args, env) {
    const config = parseConfig(args, env)
    const stopAsked = firstSignal()
    const { serve } = await import('../serve.ts')
    const server = await serve(config)
    await stopAsked
    await server.stop()
    process.exit(0) // anything that keeps the event loop alive must
  },
}

/** Resolves at the first signal; the next one ends the process. */
function firstSignal(): Promise<void> {
  return new Promise((resolve) => {
    let firstMs: number | null = null
    for (const [signal, exitCode] of Object.entries(signalExitCodes)) {
      process.on(signal, () => {
        if (firstMs !== null && monotonicMs() - firstMs > sameSignalMs) process.exit(exitCode)
        firstMs ??= monotonicMs()
        resolve()
      })
    }
  })
}
