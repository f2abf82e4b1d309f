/**
 * Measures what a scoped token costs: the same GET and PUT to one open server, without a token, with another header of
 * its length, with a token that may do everything, and with one for a key prefix, alternately. `--help` lists the options.
 */

import { join, resolve } from 'node:path'
import { kvistRequests } from './kvist-requests.ts'
import { accessOptions, chooseOptions } from './options.ts'
import { killAll, onCore, processorSeconds, removeFolder, startServer, waitUntilReady } from './process.ts'
import { median } from './statistics.ts'
import { type RawRequest, runWrk } from './wrk.ts'

const port = 17_703
const url = `http://127.0.0.1:${port}`
/** The least part of the rate without a token. */
const bar = 0.97
const value = JSON.stringify({ text: 'x'.repeat(88) })

const options = chooseOptions(accessOptions)
const dataDir = join(resolve(options.text('data')), 'access')

interface Client {
  readonly title: string
  readonly headers: Readonly<Record<string, string>>
}

async function clientOf(title: string, grant: object): Promise<Client> {
  const body = JSON.stringify({
    name: title,
    grants: [{ collections: '*', can: ['read', 'write'], ...grant }],
  })
  const response = await fetch(`${url}/v1/_tokens`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body,
  })
  const { token } = JSON.parse(await response.text())
  return { title, headers: { Authorization: `Bearer ${token}` } }
}

/** Stores the members that load.lua asks for. */
async function fill(): Promise<void> {
  const lines = Array.from(
    { length: options.number('members') },
    (_, i) => `{"key":"key-${String(i).padStart(8, '0')}","value":${value}}`,
  )
  const response = await fetch(`${url}/v1/bench`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/x-ndjson' },
    body: lines.join('\n'),
  })
  if (!response.ok) throw new Error(`the import was refused: ${await response.text()}`)
}

const loads: readonly (readonly [title: string, request: RawRequest])[] = [
  ['GET', kvistRequests.get],
  ['PUT', { ...kvistRequests.put, body: value }],
]

interface Figures {
  readonly perSecond: number[]
  readonly microseconds: number[]
}

/** Runs the load once and adds its figures; a run to warm up has none. */
async function runOnce(
  pid: number,
  request: RawRequest,
  seed: number,
  figures: Figures | null,
): Promise<void> {
  const seconds = options.number('seconds')
  const members = options.number('members')
  const before = processorSeconds(pid)
  const { perSecond, errors } = await runWrk({
    port,
    request,
    // wrk makes a text for each request of a key at random, and one with more lines takes it longer.
    choose: request.method === 'GET' ? 'one' : 'random',
    members,
    connections: 64,
    seconds,
    seed,
    wrapper: onCore(1),
  })
  if (errors > 0) throw new Error(`${errors} requests went wrong`)
  if (figures === null) return
  figures.perSecond.push(perSecond)
  figures.microseconds.push(((processorSeconds(pid) - before) * 1e6) / (perSecond * seconds))
}

async function compare(pid: number, clients: readonly Client[]): Promise<void> {
  for (const [title, request] of loads) {
    const rows = clients.map((client) => ({
      client,
      figures: { perSecond: [], microseconds: [] } as Figures,
    }))
    const asked = ({ headers }: Client) => ({ ...request, headers: { ...request.headers, ...headers } })
    for (const { client } of rows) for (let i = 0; i < 3; i++) await runOnce(pid, asked(client), i, null)
    for (let round = 1; round <= options.number('rounds'); round++) {
      for (const { client, figures } of round % 2 === 0 ? rows : rows.toReversed())
        await runOnce(pid, asked(client), round, figures)
    }
    const base = median(rows[0]!.figures.perSecond)
    for (const { client, figures } of rows) {
      const rate = median(figures.perSecond)
      const part = rate / base
      const verdict = part >= bar ? '' : `, below the bar of ${bar}`
      const cost = median(figures.microseconds).toFixed(2)
      console.log(
        `| ${title}, ${client.title} | ${Math.round(rate)} | ${part.toFixed(3)}${verdict} | ${cost} |`,
      )
    }
  }
}

async function run(): Promise<void> {
  removeFolder(dataDir)
  const kvist = join(import.meta.dir, '../bin/kvist')
  const server = startServer(
    'kvist',
    [...onCore(0), kvist, 'serve', '--port', `${port}`, '--data', `${dataDir}/store`],
    dataDir,
  )
  try {
    await waitUntilReady(server, `${url}/healthz`, '')
    await fill()
    const clients = [
      { title: 'without a token', headers: {} },
      { title: 'a header of the same length', headers: { 'X-Length-Only': `Bearer ${'x'.repeat(62)}` } },
      await clientOf('a token for everything', {}),
      await clientOf('a token for a key prefix', { key_prefix: 'key-' }),
    ]
    console.log('| Load | requests/s | of the first | µs of processor a request |\n| --- | --- | --- | --- |')
    await compare(server.pid, clients)
  } finally {
    await server.stop()
    removeFolder(dataDir)
  }
}

try {
  await run()
} catch (error) {
  await killAll()
  throw error
}
