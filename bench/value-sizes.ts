/**
 * Compares PUT and GET of values of 10 kB to 15 MB with webdis + Redis, and GET with nginx that serves the same bytes as
 * files, if that is installed: every load in rounds, in each of which every contestant runs once. `--help` lists the
 * options.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { judge } from './bars.ts'
import { kvist, startWebdis } from './contestants.ts'
import { keyOf } from './members.ts'
import { peakMb } from './memory.ts'
import { chooseOptions, valueSizesOptions } from './options.ts'
import { killAll, removeFolder, type Server, startServer, waitUntilReady, watchMemory } from './process.ts'
import { print, report } from './report.ts'
import { type LoadResult, type Measure, machineLine } from './results.ts'
import { type RawRequest, runWrk } from './wrk.ts'

const options = chooseOptions(valueSizesOptions)
const dataDir = join(resolve(options.text('data')), 'value-sizes')
const files = join(dataDir, 'files')
const webdisVariant = '2/20'
const nginxPort = 17_702
const kvistPort = 17_701

interface Size {
  readonly name: string
  readonly bytes: number
  readonly members: number
  readonly connections: number
  /** wrk takes a body as an argument, which a system bounds at 128 KiB. */
  readonly hasPut: boolean
}

const sizes: readonly Size[] = [
  { name: '10k', bytes: 10_000, members: 1000, connections: 64, hasPut: true },
  { name: '100k', bytes: 100_000, members: 200, connections: 32, hasPut: true },
  { name: '1m', bytes: 1_000_000, members: 20, connections: 8, hasPut: false },
  { name: '15m', bytes: 15_000_000, members: 3, connections: 4, hasPut: false },
]

interface Contestant {
  readonly name: string
  readonly title: string
  readonly port: number
  start(folder: string): Promise<Server>
  /** The path of a member; with `{key}` for any. */
  path(key: string): string
  readonly putPath: string | null
}

const contestants: readonly Contestant[] = [
  {
    name: 'kvist',
    title: 'kvist',
    port: kvistPort,
    start: (folder) => kvist('kvist', kvistPort, 'full').start(folder, ''),
    path: (key) => `/v1/bench/${key}`,
    putPath: '/v1/bench/{key}',
  },
  {
    name: 'webdis',
    title: 'webdis + Redis',
    port: 17_011,
    start: (folder) => startWebdis(folder, webdisVariant),
    path: (key) => `/GET/${key}.txt`,
    putPath: '/SET/{key}',
  },
  {
    name: 'nginx',
    title: 'nginx, files',
    port: nginxPort,
    start: startNginx,
    path: (key) => `/${key}`,
    putPath: null,
  },
]

/** A JSON text of a length, which differs from member to member. */
function textOf(bytes: number, index: number): string {
  const start = `{"id":${index},"text":"`
  return `${start}${'v'.repeat(bytes - start.length - 2)}"}`
}

async function startNginx(folder: string): Promise<Server> {
  mkdirSync(files, { recursive: true })
  // Its worker must be able to read files that only the current user may read.
  const user = process.getuid?.() === 0 ? 'user root;' : ''
  const config = join(folder, 'nginx.conf')
  mkdirSync(folder, { recursive: true })
  writeFileSync(
    config,
    `${user} daemon off; pid ${folder}/nginx.pid; error_log stderr; worker_processes 1; events { worker_connections 1024; }
    http { access_log off; sendfile on; keepalive_requests 1000000000; client_body_temp_path ${folder};
      proxy_temp_path ${folder}; fastcgi_temp_path ${folder}; uwsgi_temp_path ${folder}; scgi_temp_path ${folder};
      server { listen 127.0.0.1:${nginxPort}; root ${files}; } }`,
  )
  writeFileSync(join(files, 'index.html'), 'ready')
  const server = startServer('nginx', ['nginx', '-c', config], folder)
  await waitUntilReady(server, `http://127.0.0.1:${nginxPort}/index.html`, 'ready')
  return server
}

async function fill({ name, port, path }: Contestant, { bytes, members }: Size): Promise<void> {
  for (let index = 0; index < members; index++) {
    const value = textOf(bytes, index)
    if (name === 'nginx') {
      writeFileSync(join(files, keyOf(index)), value)
      continue
    }
    const url = `http://127.0.0.1:${port}${path(keyOf(index)).replace('/GET/', '/SET/').replace('.txt', '')}`
    const response = await fetch(url, {
      method: 'PUT',
      headers: { 'Content-Type': 'application/json' },
      body: value,
    })
    if (!response.ok) throw new Error(`${name} refused ${bytes} bytes: ${await response.text()}`)
    await response.arrayBuffer()
  }
  const shown = await (await fetch(`http://127.0.0.1:${port}${path(keyOf(0))}`)).text()
  if (shown !== textOf(bytes, 0)) throw new Error(`${name} does not give the value of ${bytes} bytes`)
}

function requestOf({ path, putPath }: Contestant, kind: 'get' | 'put', bytes: number): RawRequest | null {
  if (kind === 'get') return { method: 'GET', path: path('{key}') }
  if (putPath === null) return null
  const headers = { 'Content-Type': 'application/json' }
  return { method: 'PUT', path: putPath, headers, body: textOf(bytes, 0) }
}

async function runOnce(
  contestant: Contestant,
  kind: 'get' | 'put',
  size: Size,
  round: number,
): Promise<Measure | null> {
  const request = requestOf(contestant, kind, size.bytes)
  if (request === null) return null
  const folder = join(dataDir, contestant.name)
  removeFolder(folder)
  removeFolder(files)
  const server = await contestant.start(folder)
  try {
    await fill(contestant, size)
    const { members, connections } = size
    const load = { port: contestant.port, request, choose: 'random', members, connections } as const
    await runWrk({ ...load, seconds: 1, seed: 1000 + round })
    const stopWatching = watchMemory(server.pid, 100)
    const figures = await runWrk({ ...load, seconds: options.number('seconds'), seed: round })
    return { ...figures, peakMb: peakMb(stopWatching()) }
  } finally {
    await server.stop()
    removeFolder(folder)
  }
}

async function measure(kind: 'get' | 'put', size: Size): Promise<LoadResult> {
  const title = `${kind.toUpperCase()} of ${size.bytes.toLocaleString('en-US')} bytes, ${size.connections} connections`
  print(title)
  const taking = contestants.filter(
    (one) => requestOf(one, kind, size.bytes) !== null && (one.name !== 'nginx' || Bun.which('nginx')),
  )
  const rows = taking.map((contestant) => ({ contestant, rounds: [] as Measure[] }))
  for (let round = 1; round <= options.number('rounds'); round++) {
    for (const { contestant, rounds } of rows) {
      const found = await runOnce(contestant, kind, size, round)
      if (found === null) continue
      rounds.push(found)
      print(`  round ${round}, ${contestant.title}: ${found.perSecond.toFixed(1)} a second`)
    }
  }
  return {
    name: `${kind}-${size.name}`,
    title,
    unit: 'answers/s',
    rows: rows.map(({ contestant: { name, title }, rounds }) => ({
      ...{ contestant: name, title, variant: name === 'webdis' ? webdisVariant : '', rounds },
    })),
  }
}

try {
  removeFolder(dataDir)
  const machine = machineLine()
  const loads: LoadResult[] = []
  for (const size of sizes) if (size.hasPut) loads.push(await measure('put', size))
  for (const size of sizes) loads.push(await measure('get', size))
  await report(options.text('name'), {
    title: 'Values by size',
    at: new Date().toISOString(),
    machine,
    remarks: ['wrk with one thread; each contestant alone, on a store of its own.'],
    loads,
    verdicts: judge(loads),
    series: [],
  })
} finally {
  await killAll()
  removeFolder(dataDir)
}
