import { cityOf } from './cities.ts'
import { startKvist } from './kvist-server.ts'
import { keyOf } from './members.ts'
import { mainThreadSeconds, processorSeconds, type Server } from './process.ts'
import { median } from './statistics.ts'
import { runWrk } from './wrk.ts'

/**
 * Durable puts over HTTP into a collection without indexes, with one and with three, in turns. Each kind has a server of its own, so that
 * what its flusher does is counted as its own. The keys are random: new ones, and those of members that get another value.
 */

const firstPort = 17_735
const connections = 64
const rounds = 3
const putMembers = 200_000
/** More than are put: nearly every key is new. */
const newKeys = 100_000_000
const importedAtOnce = 20_000

const city = '{"name":"city {number}","country":"SE","population":1{number},"lat":1{number}.5,"lon":59.25}'

interface Kind {
  readonly name: string
  readonly server: Server
  readonly port: number
}

async function send(port: number, path: string, method: string, body: string, type: string): Promise<void> {
  const url = `http://127.0.0.1:${port}/v1${path}`
  const response = await fetch(url, { method, body, headers: { 'content-type': type } })
  const text = await response.text()
  if (!response.ok) throw new Error(`${method} ${path}: ${text}`)
}

async function start(dir: string, name: string, indexes: readonly object[], port: number): Promise<Kind> {
  const server = await startKvist(dir, `puts-${name}`, port)
  await send(port, '/_collections/cities', 'PUT', JSON.stringify({ indexes }), 'application/json')
  for (let from = 0; from < putMembers; from += importedAtOnce) {
    const line = (i: number) => `{"key":"${keyOf(from + i)}","value":${cityOf(from + i)}}\n`
    const body = Array.from({ length: importedAtOnce }, (_, i) => line(i)).join('')
    await send(port, '/cities', 'POST', body, 'application/x-ndjson')
  }
  return { name, server, port }
}

/** Waits until the process has done nothing for some seconds: its flusher too. */
async function untilIdle({ pid }: Server): Promise<void> {
  for (let idle = 0; idle < 3; ) {
    const before = processorSeconds(pid)
    await Bun.sleep(1000)
    idle = processorSeconds(pid) - before < 0.05 ? idle + 1 : 0
  }
}

interface Spent {
  readonly perSecond: number
  /** Of all threads and of the main thread, for a put, what is flushed after the last one included. */
  readonly cpuUs: number
  readonly mainUs: number
}

async function putting(
  { server, port }: Kind,
  members: number,
  seed: number,
  seconds: number,
): Promise<Spent> {
  const [cpu, main] = [processorSeconds(server.pid), mainThreadSeconds(server.pid)]
  const figures = await runWrk({
    ...{ port, choose: 'random', members, connections, seconds, seed },
    request: {
      ...{ method: 'PUT', path: '/v1/cities/{key}', body: city },
      headers: { 'content-type': 'application/json' },
    },
  })
  if (figures.errors > 0) throw new Error(`${figures.errors} of the puts failed`)
  await untilIdle(server)
  const puts = figures.perSecond * seconds
  return {
    perSecond: figures.perSecond,
    cpuUs: ((processorSeconds(server.pid) - cpu) * 1e6) / puts,
    mainUs: ((mainThreadSeconds(server.pid) - main) * 1e6) / puts,
  }
}

async function compare(
  title: string,
  kinds: readonly Kind[],
  members: number,
  seconds: number,
): Promise<void> {
  const spent = kinds.map((): Spent[] => [])
  for (let round = 0; round < rounds; round++) {
    for (let i = 0; i < kinds.length; i++) {
      const kind = (i + round) % kinds.length
      spent[kind]!.push(await putting(kinds[kind]!, members, 1 + round, seconds))
    }
  }
  const of = (kind: number, figure: keyof Spent) => median(spent[kind]!.map((one) => one[figure]))
  for (const [i, { name }] of kinds.entries()) {
    console.log(
      `a put over HTTP, ${title}, ${name}: ${of(i, 'cpuUs').toFixed(1)} µs of processor time (main thread ${of(i, 'mainUs').toFixed(1)}), ` +
        `${(of(0, 'cpuUs') / of(i, 'cpuUs')).toFixed(3)}; ${Math.round(of(i, 'perSecond'))} a second, ${(of(i, 'perSecond') / of(0, 'perSecond')).toFixed(3)}`,
    )
  }
}

/** `kinds` are names with indexes, without any first. A turn should be so long that the flusher has a whole job in it. */
export async function measurePuts(
  dataDir: string,
  kinds: readonly (readonly [name: string, indexes: readonly object[]])[],
  seconds: number,
): Promise<void> {
  const started: Kind[] = []
  for (const [i, [name, indexes]] of kinds.entries())
    started.push(await start(dataDir, name, indexes, firstPort + i))
  for (const { server } of started) await untilIdle(server)
  await compare('a new member', started, newKeys, seconds)
  await compare('over another value', started, putMembers, seconds)
  for (const { server } of started) await server.stop()
}
