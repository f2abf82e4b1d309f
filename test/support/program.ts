import { kvistProgram } from './server.ts'

/** Runs kvist as a person or a script would: with pipes, or on a terminal. */

export interface RunOptions {
  /** Beside PATH and HOME, which are all that the program sees of this process's environment. */
  readonly env?: Readonly<Record<string, string>>
  readonly stdin?: string | Uint8Array<ArrayBuffer>
}

export interface Ended {
  readonly exitCode: number
  readonly stdout: Buffer
  readonly stderr: string
}

/** Resolves when the program has ended; of a signal it is the shell's number. */
export async function run(
  args: readonly string[],
  { env = {}, stdin = '' }: RunOptions = {},
): Promise<Ended> {
  const child = Bun.spawn([kvistProgram, ...args], {
    env: environment(env),
    stdin: new Blob([stdin]),
    stdout: 'pipe',
    stderr: 'pipe',
  })
  const [stdout, stderr] = await Promise.all([child.stdout.bytes(), child.stderr.text()])
  return { exitCode: await child.exited, stdout: Buffer.from(stdout), stderr }
}

/** Starts the program and leaves it running. */
export function start(args: readonly string[], env: Readonly<Record<string, string>>) {
  return Bun.spawn([kvistProgram, ...args], {
    env: environment(env),
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'pipe',
  })
}

export interface Terminal {
  /** Everything on the screen so far, control sequences included. */
  screen(): string
  /** Waits until the screen has a text that it did not have when this was last waited for. */
  shows(text: string): Promise<void>
  type(text: string): void
  signal(signal: NodeJS.Signals): void
  readonly exited: Promise<number>
}

/** Runs the program on a terminal of 100 columns. */
export function runOnTerminal(args: readonly string[], { env = {} }: RunOptions = {}): Terminal {
  const decoder = new TextDecoder()
  let screen = ''
  let seen = 0
  let onData = () => {}
  const child = Bun.spawn([kvistProgram, ...args], {
    env: { TERM: 'xterm', ...environment(env) },
    terminal: {
      cols: 100,
      rows: 30,
      data(_terminal, part) {
        screen += decoder.decode(part, { stream: true })
        onData()
      },
    },
  })
  const exited = child.exited.finally(() => child.terminal?.close())
  return {
    screen: () => screen,
    async shows(text) {
      await new Promise<void>((resolve, reject) => {
        onData = () => {
          const at = screen.indexOf(text, seen)
          if (at === -1) return
          seen = at + text.length
          resolve()
        }
        exited.then(() =>
          reject(new Error(`ended without ${JSON.stringify(text)}: ${JSON.stringify(screen)}`)),
        )
        onData()
      })
    },
    type: (text) => void child.terminal?.write(text),
    signal: (signal) => child.kill(signal),
    exited,
  }
}

function environment(env: Readonly<Record<string, string>>): Record<string, string | undefined> {
  return { PATH: process.env.PATH, HOME: process.env.HOME, ...env }
}
