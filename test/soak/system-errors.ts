import { readFileSync, rmSync } from 'node:fs'
import { startLoad } from '../support/load.ts'
import { kvistProgram, newFolder, startServer, type TestServer } from '../support/server.ts'
import { type Fault, type Figures, repeatFor } from './fault.ts'

/** The system refuses what the store asks of it, once or from some moment on, by strace's fault injection. */
export const systemErrors: Fault = {
  name: 'system-errors',
  does: 'system calls that fail under load; what was acknowledged is there at the next start',
  needs: 'strace',
  async round({ random, budgetMs }): Promise<Figures> {
    const dataFolder = newFolder()
    const load = startLoad(() => random.int(2 ** 31) / 2 ** 31)
    const counted: Record<string, number> = {}
    try {
      await repeatFor(budgetMs, async () => {
        const { call, error } = random.pick(injections)
        const first = 1 + random.int(random.oneIn(2) ? 10 : 400)
        // A call is repeated after EINTR, by SQLite without end: interrupted for ever is no fault that a system has.
        const isForEver = random.oneIn(3) && error !== 'EINTR'
        const when = isForEver ? `${first}+` : `${first}..${first + random.int(5)}`
        counted[`${call}:${error}`] = (counted[`${call}:${error}`] ?? 0) + 1
        await oneLife(dataFolder, load, [`${call}:error=${error}:when=${when}`], 300 + random.int(1200))
      })
      const server = await startServer({ dataFolder })
      await load.verify(server.url)
      await server.stop()
      return { ...counted, acknowledged: load.acknowledged() }
    } finally {
      rmSync(dataFolder, { recursive: true, force: true })
    }
  },
}

const injections = [
  { call: 'fdatasync', error: 'EIO' },
  { call: 'fdatasync', error: 'ENOSPC' },
  { call: 'fdatasync', error: 'EINTR' },
  { call: 'fsync', error: 'EIO' },
  { call: 'pwrite64', error: 'EIO' },
  { call: 'pwrite64', error: 'ENOSPC' },
  { call: 'pwrite64', error: 'EINTR' },
  { call: 'openat', error: 'EMFILE' },
  { call: 'rename', error: 'EACCES' },
  { call: 'ftruncate', error: 'ENOSPC' },
  { call: 'mmap', error: 'ENOMEM' },
] as const

/** A server that is traced, so that the errors come; it may end by itself, which is not wrong. */
async function oneLife(
  dataFolder: string,
  load: ReturnType<typeof startLoad>,
  injected: readonly string[],
  lastsMs: number,
): Promise<void> {
  const calls = injected.map((injection) => injection.slice(0, injection.indexOf(':')))
  const command = [
    'strace',
    '-f',
    '-qq',
    '-o',
    '/dev/null',
    '-e',
    `trace=${calls.join(',')}`,
    ...injected.flatMap((injection) => ['-e', `inject=${injection}`]),
    kvistProgram,
    'serve',
  ]
  const plain = await startServer({ dataFolder })
  await load.verify(plain.url)
  await plain.crash()
  // It may refuse to start at all when the error comes early.
  const server = await startServer({ dataFolder, command }).catch(() => null)
  if (server === null) return
  try {
    const running = load.run(server.url)
    await Promise.race([Bun.sleep(lastsMs), server.exited])
    load.end()
    await Promise.race([running, Bun.sleep(5000)])
    await killTraced(server)
    await running
  } finally {
    await killTraced(server)
  }
}

/** Kills the program under strace, which ends with it; a killed strace would leave it running. */
async function killTraced(server: TestServer): Promise<void> {
  for (const pid of childrenOf(server.pid)) {
    for (const grandchild of childrenOf(pid)) process.kill(grandchild, 'SIGKILL')
    process.kill(pid, 'SIGKILL')
  }
  await server.exited
}

function childrenOf(pid: number): number[] {
  try {
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim()
    return children === '' ? [] : children.split(' ').map(Number)
  } catch {
    return []
  }
}
