import { mkdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'

/** Servers under test: started, waited for, watched from /proc, and stopped by their own pid. */

const stopTimeoutMs = 30_000
const readyTimeoutMs = 60_000
const shownLogCharacters = 300
const bytesPerKb = 1024
export const bytesPerMb = 1_000_000

export interface Server {
  /** The process that serves, whose memory counts. */
  readonly pid: number
  /** SIGTERM and wait; SIGKILL after 30 seconds. */
  stop(): Promise<void>
  /** SIGKILL and wait. */
  kill(): Promise<void>
  exited(): boolean
  /** The end of what it printed. */
  log(): string
}

export interface MemorySample {
  readonly seconds: number
  readonly rssMb: number
  /** Without pages of mapped files, which the kernel can take back whenever it likes. */
  readonly anonymousMb: number
}

const children = new Set<Bun.Subprocess>()

/** What somebody has set for a kvist of their own is not for the one that is measured. */
const cleanEnvironment = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => !name.startsWith('KVIST_')),
)

/** Keeps a child in mind until it ends, so that none outlives this program. */
export function track<Child extends Bun.Subprocess>(child: Child): Child {
  children.add(child)
  void child.exited.then(() => children.delete(child))
  return child
}

/** Kills what is still running: for the way out after an error or a signal. */
export async function killAll(): Promise<void> {
  for (const child of children) child.kill('SIGKILL')
  await Promise.all([...children].map((child) => child.exited))
}

/** Starts a server; what it prints goes to `<name>.log` in its data folder. */
export function startServer(name: string, command: string[], dataDir: string): Server {
  mkdirSync(dataDir, { recursive: true })
  const path = join(dataDir, `${name}.log`)
  rmSync(path, { force: true })
  const log = Bun.file(path)
  const child = track(
    Bun.spawn(command, {
      stdin: 'ignore',
      stdout: log,
      stderr: log,
      cwd: join(import.meta.dir, '..'),
      env: cleanEnvironment,
    }),
  )
  async function end(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    child.kill(signal)
    const late = setTimeout(() => child.kill('SIGKILL'), stopTimeoutMs)
    await child.exited
    clearTimeout(late)
  }
  return {
    pid: child.pid,
    stop: () => end('SIGTERM'),
    kill: () => end('SIGKILL'),
    exited: () => child.exitCode !== null || child.signalCode !== null,
    log: () => readIfThere(path).trim().slice(-shownLogCharacters),
  }
}

/** A server and the one in front of it, as one. The front stops first; the memory is that of the server behind. */
export function withFront(server: Server, front: Server): Server {
  return {
    ...server,
    async stop() {
      await front.stop()
      await server.stop()
    },
    async kill() {
      await front.kill()
      await server.kill()
    },
  }
}

/**
 * Asks until an answer of status 200 holds the text. Returns the milliseconds since the call; throws with the end of
 * the server's log when it exits instead, and after a minute.
 */
export async function waitUntilReady(server: Server, url: string, holds: string): Promise<number> {
  const startedAt = performance.now()
  while (!(await responses(url, holds))) {
    if (server.exited()) throw new Error(`it exited: ${server.log()}`)
    if (performance.now() - startedAt > readyTimeoutMs) throw new Error(`${url} not ready: ${server.log()}`)
    await Bun.sleep(2)
  }
  return performance.now() - startedAt
}

export function removeFolder(dir: string): void {
  rmSync(dir, { recursive: true, force: true })
}

/** Samples the memory of a process until the returned function is called, which gives the samples. */
export function watchMemory(pid: number, everyMs: number): () => MemorySample[] {
  const startedAt = performance.now()
  const samples: MemorySample[] = []
  function sample() {
    const memory = memoryOf(pid)
    if (memory) samples.push({ seconds: (performance.now() - startedAt) / 1000, ...memory })
  }
  sample()
  const timer = setInterval(sample, everyMs)
  return () => {
    clearInterval(timer)
    sample()
    return samples
  }
}

/** Resident memory as /proc has it; null when the process is gone. */
export function memoryOf(pid: number): { rssMb: number; anonymousMb: number } | null {
  const status = readIfThere(`/proc/${pid}/status`)
  function megabytes(field: string): number {
    const kilobytes = Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(status)?.[1] ?? Number.NaN)
    return (kilobytes * bytesPerKb) / bytesPerMb
  }
  const memory = { rssMb: megabytes('VmRSS'), anonymousMb: megabytes('RssAnon') }
  return Number.isNaN(memory.rssMb) ? null : memory
}

/** How many files, connections among them, a process may have open; Bun takes all that it may. */
export function openFilesLimit(): number {
  const [, hard] = /^Max open files +\S+ +(\d+)/m.exec(readIfThere('/proc/self/limits')) ?? []
  return hard === undefined ? Number.POSITIVE_INFINITY : Number(hard)
}

async function responses(url: string, holds: string): Promise<boolean> {
  try {
    const reply = await fetch(url, { headers: { connection: 'close' } })
    return (await reply.text()).includes(holds) && reply.status === 200
  } catch {
    return false
  }
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
