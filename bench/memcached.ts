/**
 * Compares kvist's memcached port with memcached: every load in rounds, in each of which every contestant runs on its
 * own store. `bun bench/memcached.ts --help` lists the options; README.md explains why it is fair.
 */
import { join, resolve } from 'node:path'
import { judge } from './bars.ts'
import type { ClientFigures, ClientRun } from './memcached-client.ts'
import { peakMb } from './memory.ts'
import { chooseOptions, memcachedOptions, pick } from './options.ts'
import {
  killAll,
  removeFolder,
  type Server,
  startServer,
  track,
  waitUntilReady,
  watchMemory,
} from './process.ts'
import { print, report } from './report.ts'
import { type LoadResult, type Measure, machineLine, packageVersion } from './results.ts'

interface Contestant {
  readonly name: string
  readonly title: string
  readonly port: number
  /** Its port for HTTP, and what is requested there; without it memcached's protocol is used. */
  readonly http?: { readonly port: number; readonly kind: 'read' | 'put'; readonly perRequest?: number }
  start(dataDir: string): Promise<Server>
}

interface Load {
  readonly name: string
  readonly title: string
  readonly note?: string
  /** The contestants beside memcached. */
  readonly names: readonly string[]
  measure(contestant: Contestant, seed: number): Promise<ClientFigures | SlapFigures>
}

/** memcslap does not report the times of single responses. */
interface SlapFigures {
  readonly perSecond: number
}

const options = chooseOptions(memcachedOptions)
const members = options.number('members')
const kvistProgram = join(import.meta.dir, '../bin/kvist')

const contestants: readonly Contestant[] = [
  kvist('kvist', 'kvist', 17_212, 'full'),
  kvist('relaxed', 'kvist, relaxed', 17_213, 'relaxed'),
  { ...kvist('read', 'kvist, POST /v1/_read', 17_214, 'full'), http: { port: 17_224, kind: 'read' } },
  {
    ...kvist('put', 'kvist, PUT over HTTP', 17_215, 'full'),
    http: { port: 17_225, kind: 'put', perRequest: 1 },
  },
  { name: 'memcached', title: 'memcached', port: 17_211, start: startMemcached },
]

const reads = ['kvist', 'memcached']
const writes = ['kvist', 'relaxed', 'memcached']
const connections = 64

const loads: readonly Load[] = [
  own('get', 'get, one key at a time', reads, { kind: 'get', perRequest: 1 }),
  own('multiget', 'get of 100 keys', [...reads, 'read'], { kind: 'multiget', perRequest: 100 }),
  own('gets', '100 gets in a pipeline', reads, { kind: 'gets', perRequest: 100 }),
  own('set', 'set, one key at a time', [...writes, 'put'], { kind: 'sets', perRequest: 1 }),
  own('sets', '100 sets in a pipeline', [...writes, 'put'], { kind: 'sets', perRequest: 100 }),
  slap('slap-get', 'get', reads),
  slap('slap-set', 'set', writes),
]

function kvist(name: string, title: string, port: number, durability: string): Contestant {
  return {
    name,
    title,
    port,
    async start(dataDir) {
      const http = port + 10
      const flags = ['--port', `${http}`, '--data', join(dataDir, 'store'), '--memcached-port', `${port}`]
      const command = [kvistProgram, 'serve', ...flags, '--memcached-durability', durability]
      const server = startServer(name, command, dataDir)
      await waitUntilReady(server, `http://127.0.0.1:${http}/readyz`, '')
      return server
    },
  }
}

async function startMemcached(dataDir: string): Promise<Server> {
  const user = process.getuid?.() === 0 ? ['-u', 'root'] : []
  const flags = ['-p', '17211', '-U', '0', '-l', '127.0.0.1', '-m', '1024', ...user]
  const server = startServer('memcached', ['memcached', ...flags], dataDir)
  for (let tries = 0; tries < 500; tries++) {
    await Bun.sleep(10)
    const found = await Bun.connect({ hostname: '127.0.0.1', port: 17_211, socket: { data() {} } }).catch(
      () => null,
    )
    found?.end()
    if (found !== null) return server
  }
  throw new Error(`memcached does not listen: ${server.log()}`)
}

type OwnRun = Pick<ClientRun, 'kind' | 'perRequest'>

function own(name: string, title: string, names: readonly string[], what: OwnRun): Load {
  return {
    name,
    title,
    names,
    async measure({ port, http }, seed) {
      await client({ port, kind: 'fill', connections: 1, perRequest: 100, members, seconds: 0, seed })
      const seconds = options.number('seconds')
      const asked: OwnRun & { port: number } = http === undefined ? { port, ...what } : { ...what, ...http }
      return JSON.parse(await client({ ...asked, connections, members, seconds, seed }))
    },
  }
}

function client(run: ClientRun): Promise<string> {
  return outputOf([process.execPath, join(import.meta.dir, 'memcached-client.ts'), JSON.stringify(run)])
}

/**
 * Returns a load by memcslap of libmemcached, with one thread for each connection; its keys and values are its own, of
 * 400 bytes. memcaslap would take values of 100 bytes, but has control characters in its keys, which the protocol
 * forbids.
 */
function slap(name: string, test: 'get' | 'set', names: readonly string[]): Load {
  const times = options.number('slaps')
  return {
    name,
    title: `${test}, by memcslap`,
    note: `each of the ${connections} threads asks ${times} times for values of 400 bytes.`,
    names,
    async measure({ port }) {
      const command = ['memcslap', '-s', `127.0.0.1:${port}`, '-t', test, '-c', `${connections}`, '-F', '-e']
      // Like the other client, it warms the server up before it measures.
      await outputOf([...command, `${Math.ceil(times / 10)}`])
      const said = await outputOf([...command, `${times}`])
      const [, count, seconds] =
        new RegExp(`Time to ${test} +(\\d+) keys by .*: +([\\d.]+) seconds`).exec(said) ?? []
      if (count === undefined) throw new Error(`memcslap says: ${said}`)
      return { perSecond: Number(count) / Number(seconds) }
    },
  }
}

async function outputOf(command: string[]): Promise<string> {
  const child = track(Bun.spawn(command, { stdin: 'ignore', stdout: 'pipe', stderr: 'pipe' }))
  const [out, complaint, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited])
  if (code !== 0) throw new Error(`${command[0]} ended with ${code}: ${complaint || out}`)
  return out
}

function folderOf({ name }: Contestant): string {
  return join(resolve(options.text('data')), `memcached-${name}`)
}

/** Runs the load once: starts the contestant on an empty folder, runs the load, and stops it. */
async function runOnce(contestant: Contestant, load: Load, round: number): Promise<Measure> {
  const dataDir = folderOf(contestant)
  removeFolder(dataDir)
  const server = await contestant.start(dataDir)
  try {
    const stopWatching = watchMemory(server.pid, 250)
    const figures = await load.measure(contestant, round)
    return { p50Ms: null, p99Ms: null, maxMs: null, ...figures, errors: 0, peakMb: peakMb(stopWatching()) }
  } finally {
    await server.stop()
    removeFolder(dataDir)
  }
}

async function runRounds(load: Load): Promise<LoadResult> {
  const rows = contestants
    .filter(({ name }) => load.names.includes(name))
    .map((contestant) => ({ contestant, rounds: [] as Measure[] }))
  for (let round = 1; round <= options.number('rounds'); round++) {
    for (const { contestant, rounds } of rows) {
      const measure = await runOnce(contestant, load, round)
      rounds.push(measure)
      print(`${load.title}, round ${round}, ${contestant.title}: ${measure.perSecond.toFixed(0)} a second`)
    }
  }
  return {
    name: load.name,
    title: load.title,
    unit: 'members/s',
    ...(load.note !== undefined && { note: load.note }),
    rows: rows.map(({ contestant: { name, title }, rounds }) => ({
      contestant: name,
      title,
      variant: '',
      rounds,
    })),
  }
}

async function main(): Promise<void> {
  const missing = ['memcached', 'memcslap'].find((program) => !Bun.which(program))
  if (missing !== undefined)
    throw new Error(`${missing} is not there: apt-get install memcached libmemcached-tools`)
  const wanted = pick(loads, options.list('only'))
  const machine = machineLine()
  const at = new Date().toISOString()
  const found: LoadResult[] = []
  for (const load of wanted) found.push(await runRounds(load))
  await report(options.text('name'), {
    title: "kvist's memcached port and memcached",
    at,
    machine,
    remarks: [
      `${members.toLocaleString('en-US')} members of 100 bytes, ${connections} connections; ${options.text('rounds')} rounds of ${options.text('seconds')} s; a client of one thread, on the same cores. The median of the rounds; of the slowest answer and the memory the largest.`,
      `memcached ${packageVersion('memcached')}, with its four threads; libmemcached-tools ${packageVersion('libmemcached-tools')}.`,
      ...(options.quick ? ['A quick run: it shows that things work, not how fast they are.'] : []),
    ],
    loads: found,
    verdicts: judge(found),
    series: [],
  })
}

async function leave(code: number): Promise<never> {
  await killAll()
  for (const contestant of contestants) removeFolder(folderOf(contestant))
  process.exit(code)
}

for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => void leave(130))
try {
  await main()
  await leave(0)
} catch (error) {
  print(error instanceof Error ? error.message : String(error))
  await leave(1)
}
