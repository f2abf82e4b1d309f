/** The signals that ask a program to end, with what a shell reports of one that did. */
export const signalExitCodes = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const

/** When a signal ends the program, this is done first; it must not wait for anything. */
export function beforeSignalEnds(cleanUp: () => void): void {
  for (const [signal, exitCode] of Object.entries(signalExitCodes)) {
    process.once(signal, () => {
      cleanUp()
      process.exit(exitCode)
    })
  }
}
