/** The signals that ask a program to end, with the exit code that a shell reports for each. */
export const signalExitCodes = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const

/** Calls `cleanUp` before a signal ends the program; it must be synchronous. */
export function beforeSignalEnds(cleanUp: () => void): void {
  for (const [signal, exitCode] of Object.entries(signalExitCodes)) {
    process.once(signal, () => {
      cleanUp()
      process.exit(exitCode)
    })
  }
}
