import { createInterface } from 'node:readline'

/**
 * Asks a question on standard error, so that the output stays clean, and resolves with the reply. Ctrl-C ends the
 * program with 130.
 */
export function prompt(question: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const terminal = createInterface({ input: process.stdin, output: process.stderr })
    terminal.on('SIGINT', () => {
      process.stderr.write('\n')
      process.exit(130)
    })
    terminal.on('close', () => reject(new Error('nothing was entered')))
    terminal.question(question, (reply) => {
      resolve(reply)
      terminal.close()
    })
  })
}
