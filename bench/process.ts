import { mkdirSync, readFileSync, rmSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'

/** Starts servers under test, waits for them, samples their memory from /proc, and stops them by pid. */

const stopTimeoutMs = 30_000
const readyTimeoutMs = 60_000
const shownLogCharacters = 300
const bytesPerKb = 1024
export const bytesPerMb = 1_000_000

export interface Server {
  /** The serving process, whose memory is sampled. */
  readonly pid: number
  /** Sends SIGTERM and waits; sends SIGKILL after 30 seconds. */
  stop(): Promise<void>
  /** Sends SIGKILL and waits. */
  kill(): Promise<void>
  exited(): boolean
  /** Returns the end of its output. */
  log(): string
}

export interface MemorySample {
  readonly seconds: number
  readonly rssMb: number
  /** Without pages of mapped files, which the kernel can reclaim at any time. */
  readonly anonymousMb: number
}

const children = new Set<Bun.Subprocess>()

/** The environment without `KVIST_` variables, which must not affect the measured server. */
const cleanEnvironment = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => !name.startsWith('KVIST_')),
)

/** Registers a child process until it ends, so that none outlives this program. */
export function track<Child extends Bun.Subprocess>(child: Child): Child {
  children.add(child)
  void child.exited.then(() => children.delete(child))
  return child
}

/** Kills the children that are still running, after an error or a signal. */
export async function killAll(): Promise<void> {
  for (const child of children) child.kill('SIGKILL')
  await Promise.all([...children].map((child) => child.exited))
}

/**
 * The start of a command that keeps it on one core; empty where that cannot be done. With server and client on cores of their own a
 * small difference between requests shows, which is otherwise less than what the scheduler's choices make.
 */
export function onCore(core: 0 | 1): string[] {
  return availableParallelism() > 1 && Bun.which('taskset') !== null
    ? ['taskset', '--cpu-list', `${core}`]
    : []
}

/** Starts a server; its output goes to `<name>.log` in its data folder. */
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

/** Combines a server and its front server. The front stops first; the memory is that of the server behind. */
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
 * Sends requests until a response of status 200 contains the text, and returns the milliseconds since the call. Throws
 * with the end of the server's log if the server exits, and after a minute.
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

/** Samples the memory of a process until the returned function is called, which returns the samples. */
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

/** Returns the resident memory from /proc; null if the process has ended. */
export function memoryOf(pid: number): { rssMb: number; anonymousMb: number } | null {
  const status = readIfThere(`/proc/${pid}/status`)
  function megabytes(field: string): number {
    const kilobytes = Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(status)?.[1] ?? Number.NaN)
    return (kilobytes * bytesPerKb) / bytesPerMb
  }
  const memory = { rssMb: megabytes('VmRSS'), anonymousMb: megabytes('RssAnon') }
  return Number.isNaN(memory.rssMb) ? null : memory
}

/** Returns how many files, connections included, a process may open; Bun raises its limit to that. */
export function openFilesLimit(): number {
  const [, hard] = /^Max open files +\S+ +(\d+)/m.exec(readIfThere('/proc/self/limits')) ?? []
  return hard === undefined ? Number.POSITIVE_INFINITY : Number(hard)
}

async function responses(url: string, holds: string): Promise<boolean> {
  try {
    const reply = await fetch(url, { headers: { connection: 'close' }, tls: { rejectUnauthorized: false } })
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

const ticksPerSecond = 100

/** Returns the user and system time of a process so far, in seconds. */
export function processorSeconds(pid: number): number {
  return secondsIn(`/proc/${pid}/stat`)
}

/** As `processorSeconds`, of its main thread alone. */
export function mainThreadSeconds(pid: number): number {
  return secondsIn(`/proc/${pid}/task/${pid}/stat`)
}

function secondsIn(path: string): number {
  const fields = readFileSync(path, 'utf8').split(') ')[1]?.split(' ') ?? []
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond
}
