import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Kvist, type Listed } from '../../sdk/client.ts'
import { type FaultProxy, faultProxy } from './fault-proxy.ts'
import { newFolder, startServer, type TestServer } from './server.ts'
import { until } from './until.ts'

/** Nodes that are processes, with a line between each two that can be disturbed, and clocks that can be set. */
export interface NodeProcesses {
  readonly nodes: readonly NodeProcess[]
  readonly lines: readonly FaultProxy[]
  stop(): Promise<void>
}

export interface NodeProcess {
  readonly url: string
  readonly dataFolder: string
  server: TestServer | null
  start(): Promise<void>
  /** Sets its clock, so many milliseconds ahead of that of the machine. */
  setClock(aheadMs: number): void
}

export interface NodesOptions {
  /** From, to. */
  readonly links: readonly (readonly [number, number])[]
  readonly count: number
  readonly flags?: readonly string[]
  /** Their clocks can be set. */
  readonly hasClocks?: boolean
}

const root = join(import.meta.dir, '../..')
const skewed = [
  ...[join(root, 'node_modules/.bin/bun'), '--no-env-file', '--config=/dev/null', '--no-install'],
  ...['--preload', join(import.meta.dir, 'skewed-clock.ts'), join(root, 'src/main.ts'), 'serve'],
]

/** Starts nodes that mirror to each other along the links. */
export async function startNodes(options: NodesOptions): Promise<NodeProcesses> {
  const folder = newFolder()
  // Nothing is at the other end of a line before the nodes run.
  const lines = await Promise.all(options.links.map(() => faultProxy(9)))
  const nodes = Array.from({ length: options.count }, (_, i) => nodeProcess(folder, i, lines, options))
  await Promise.all(nodes.map((node) => node.start()))
  for (const [i, [, to]] of options.links.entries()) lines[i]!.pointTo(nodes[to]!.server!.port)
  return {
    nodes,
    lines,
    async stop() {
      for (const { server } of nodes) await server?.crash()
      for (const line of lines) await line.stop()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

function nodeProcess(
  folder: string,
  at: number,
  lines: readonly FaultProxy[],
  { links, flags = [], hasClocks = false }: NodesOptions,
): NodeProcess {
  const dataFolder = join(folder, `node-${at}`)
  const clockFile = join(folder, `clock-${at}`)
  const to = lines.filter((_, i) => links[i]![0] === at).flatMap(({ url }) => ['--mirror-to', url])
  let port = 0
  mkdirSync(dataFolder)
  writeFileSync(clockFile, '0')
  return {
    get url() {
      return `http://127.0.0.1:${port}`
    },
    dataFolder,
    server: null,
    async start() {
      this.server = await startServer({
        dataFolder,
        flags: ['--port', String(port), ...to, ...flags],
        ...(hasClocks ? { command: skewed, env: { SKEW_FILE: clockFile } } : {}),
      })
      port = this.server.port
    },
    setClock: (aheadMs) => writeFileSync(clockFile, String(aheadMs)),
  }
}

/** Returns all members with what nodes agree on: all but revisions. */
export async function exported(url: string): Promise<readonly unknown[]> {
  const members: unknown[] = []
  const kvist = new Kvist(url)
  for await (const { name } of kvist.collections()) {
    for await (const one of kvist.collection(name).list({ include: 'all' })) {
      const { revision: _, ...rest } = one as Listed<unknown, 'all'>
      members.push([name, rest])
    }
  }
  return members
}

/** Waits until all nodes have the same members. */
export async function untilSame(urls: readonly string[]): Promise<void> {
  await until(async () => {
    const all = await Promise.all(urls.map((url) => exported(url).catch(() => null)))
    return all[0] !== null && all.every((one) => Bun.deepEquals(one, all[0]))
  }, 'all nodes have the same members')
}
