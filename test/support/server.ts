import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from './ports.ts'
import { runToEnd } from './spawn.ts'

/** A server on a free port: a child process of `kvist serve`, or in this process; see `startServer`. */
export interface TestServer {
  readonly url: string
  readonly port: number
  readonly pid: number
  readonly dataFolder: string
  /** Resolves with the exit code when the process has ended, however it did. */
  readonly exited: Promise<number>
  /** What it has written so far, to stdout and stderr. */
  output(): string
  signal(signal: NodeJS.Signals): void
  /** As an operator stops it; resolves with its exit code. */
  stop(): Promise<number>
  /** Ends it as a crash does. */
  crash(): Promise<void>
  /** Crashes it unless it has ended, and takes away the data folder if it was made here. */
  remove(): Promise<void>
}

export interface ServerOptions {
  /** Default: a new folder, which `remove` takes away. */
  readonly dataFolder?: string
  readonly flags?: readonly string[]
  /** Default: SQLite's, in the data folder. */
  readonly engine?: 'memory'
  /** For a cache node, which has none. */
  readonly store?: 'none'
  readonly env?: Readonly<Record<string, string>>
  /** The program and its arguments up to and with `serve`; default: `kvistProgram` and `serve`. */
  readonly command?: readonly string[]
}

/** What tests that write their requests by hand call a server. */
const rawHost = 'x'

/** Where it is set, to a folder with `server.pem` and `server.key`, servers speak TLS: see test/tls-wire.test.ts. */
export const tlsFolder = process.env.KVIST_TEST_TLS
const tlsFlags =
  tlsFolder === undefined
    ? []
    : ['--tls-cert', join(tlsFolder, 'server.pem'), '--tls-key', join(tlsFolder, 'server.key')]

/** `npm test` has built an executable, which starts in a fifth of the processor time: see scripts/test-program.mjs. */
export const kvistProgram = process.env.KVIST_TEST_PROGRAM ?? join(import.meta.dir, '../../bin/kvist')

/**
 * Starts a server and waits until it serves. Throws with what it said when it ends instead.
 *
 * In `npm run test:fast` the server runs in the process of the test, on the memory engine. A test that needs a process
 * or a folder of its own throws there: its file belongs into the table of scripts/test-tiers.mjs.
 */
export function startServer(options: ServerOptions = {}): Promise<TestServer> {
  return process.env.KVIST_TEST_SERVER === 'in-process' ? serveHere(options) : startProcess(options)
}

async function startProcess(options: ServerOptions): Promise<TestServer> {
  const dataFolder = options.dataFolder ?? newFolder()
  const { flags = [], command = [kvistProgram, 'serve'] } = options
  const kept = options.engine === undefined ? ['--data', dataFolder] : ['--engine', options.engine]
  const store = options.store === 'none' ? [] : kept
  const usual = [...tlsFlags, '--port', `${freePort()}`, ...store, '--allowed-host', rawHost]
  const child = Bun.spawn([...command, ...usual, ...flags], {
    env: { ...cleanEnvironment(), ...options.env },
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'pipe',
  })
  let output = ''
  let notified = () => {}
  const reading = [child.stdout, child.stderr].map(async (stream) => {
    const decoder = new TextDecoder()
    for await (const part of stream) {
      output += decoder.decode(part, { stream: true })
      notified()
    }
  })
  const ended = Promise.all(reading).then(() => child.exited)
  const url = await new Promise<string>((resolve, reject) => {
    notified = () => {
      const found = /"url":"([^"]+)"/.exec(output)?.[1]
      if (found !== undefined) resolve(found)
    }
    ended.then((code) => reject(new Error(`kvist ended with ${code}: ${output}`)))
  })

  async function crash(): Promise<void> {
    child.kill('SIGKILL')
    await ended
  }
  return {
    url,
    port: Number(new URL(url).port),
    pid: child.pid,
    dataFolder,
    exited: ended,
    output: () => output,
    signal: (signal) => child.kill(signal),
    stop() {
      child.kill('SIGTERM')
      return ended
    },
    crash,
    async remove() {
      await crash()
      if (options.dataFolder === undefined) rmSync(dataFolder, { recursive: true, force: true })
    },
  }
}

async function serveHere(options: ServerOptions): Promise<TestServer> {
  if (options.dataFolder !== undefined || options.command !== undefined) throw needsProcess()
  const { serveInProcess } = await import('./in-process-server.ts')
  const server = await serveInProcess({
    flags: ['--allowed-host', rawHost, ...(options.flags ?? [])],
    env: options.env ?? {},
  })
  const stop = async () => {
    await server.stop()
    return 0
  }
  return {
    ...server,
    get pid(): number {
      throw needsProcess()
    },
    get dataFolder(): string {
      throw needsProcess()
    },
    get exited(): Promise<number> {
      throw needsProcess()
    },
    signal() {
      throw needsProcess()
    },
    crash() {
      throw needsProcess()
    },
    stop,
    async remove() {
      await stop()
    },
  }
}

function needsProcess(): Error {
  return new Error('this test needs a process of its own: it has no place in the fast tier')
}

/** Runs `kvist serve` where it is expected to end by itself: its exit code and what it wrote. */
export async function runServe(
  flags: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<{ exitCode: number; output: string }> {
  const command = [kvistProgram, 'serve', '--port', `${freePort()}`, ...flags]
  const { exitCode, stdout, stderr } = await runToEnd(command, { env: { ...cleanEnvironment(), ...env } })
  return { exitCode, output: stdout + stderr }
}

export function newFolder(): string {
  return mkdtempSync(join(tmpdir(), 'kvist-test-'))
}

/** What a developer has set for a kvist of their own must not reach the ones under test. */
function cleanEnvironment(): Record<string, string | undefined> {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('KVIST_')))
}
