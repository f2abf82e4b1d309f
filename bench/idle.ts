/**
 * Measures what idle connections cost: GET of one server alone, and with many open connections that request nothing
 * beside it, in turns. `--help` lists the options.
 */
import { join, resolve } from 'node:path'
import { importIntoKvist } from './bulk.ts'
import { kvistRequests } from './kvist-requests.ts'
import { chooseOptions, idleOptions } from './options.ts'
import { killAll, onCore, processorSeconds, removeFolder, startServer, waitUntilReady } from './process.ts'
import { median } from './statistics.ts'
import { runWrk } from './wrk.ts'

const port = 17_704
/** The least part of the rate without idle connections. */
const bar = 0.95

const options = chooseOptions(idleOptions)
const dataDir = join(resolve(options.text('data')), 'idle')

async function openIdle(count: number): Promise<Bun.Socket<undefined>[]> {
  const sockets: Bun.Socket<undefined>[] = []
  for (let i = 0; i < count; i++)
    sockets.push(await Bun.connect({ hostname: '127.0.0.1', port, socket: { data() {} } }))
  return sockets
}

interface Figures {
  readonly perSecond: number[]
  readonly microseconds: number[]
}

async function turn(pid: number, seed: number, { perSecond, microseconds }: Figures): Promise<void> {
  const [seconds, members] = [options.number('seconds'), options.number('members')]
  const load = {
    port,
    request: kvistRequests.get,
    choose: 'random',
    members,
    connections: 64,
    wrapper: onCore(1),
  } as const
  await runWrk({ ...load, seconds: 1, seed })
  const before = processorSeconds(pid)
  const found = await runWrk({ ...load, seconds, seed })
  if (found.errors > 0) throw new Error(`${found.errors} requests went wrong`)
  perSecond.push(found.perSecond)
  microseconds.push(((processorSeconds(pid) - before) * 1e6) / (found.perSecond * seconds))
}

async function run(): Promise<void> {
  removeFolder(dataDir)
  const kvist = join(import.meta.dir, '../bin/kvist')
  const most = `${options.number('connections') + 1000}`
  const more = ['--max-connections', most, '--max-connections-per-address', most]
  const command = [
    ...onCore(0),
    kvist,
    'serve',
    '--port',
    `${port}`,
    '--data',
    join(dataDir, 'store'),
    ...more,
  ]
  const server = startServer('kvist', command, dataDir)
  const alone: Figures = { perSecond: [], microseconds: [] }
  const beside: Figures = { perSecond: [], microseconds: [] }
  try {
    await waitUntilReady(server, `http://127.0.0.1:${port}/readyz`, 'ready')
    await importIntoKvist(port, options.number('members'))
    for (let round = 1; round <= options.number('rounds'); round++) {
      await turn(server.pid, round, alone)
      const sockets = await openIdle(options.number('connections'))
      await turn(server.pid, round, beside)
      for (const socket of sockets) socket.end()
      await Bun.sleep(500)
    }
  } finally {
    await server.stop()
    removeFolder(dataDir)
  }
  const part = median(beside.perSecond.map((rate, round) => rate / alone.perSecond[round]!))
  const verdict = part >= bar ? 'reached' : 'not reached'
  console.log('| GET at random, 64 connections | a second | µs of processor a request |\n| --- | --: | --: |')
  for (const [title, { perSecond, microseconds }] of [
    ['alone', alone],
    [`beside ${options.number('connections').toLocaleString('en-US')} idle connections`, beside],
  ] as const)
    console.log(`| ${title} | ${Math.round(median(perSecond))} | ${median(microseconds).toFixed(2)} |`)
  console.log(`\nBeside them it is ${part.toFixed(3)} of the rate; the bar of ${bar} is ${verdict}.`)
}

try {
  await run()
} catch (error) {
  await killAll()
  throw error
}
