/**
 * Measures what two mirrors cost an emitter, and how far they lag: the same PUTs to a server without targets and to one
 * with two, alternately, in requests a second and in processor time of the emitter alone; then the lag at a fixed rate of
 * writes. `--help` lists the options.
 */
import { availableParallelism, constants, setPriority } from 'node:os'
import { join, resolve } from 'node:path'
import { Kvist } from '../sdk/client.ts'
import { kvistRequests } from './kvist-requests.ts'
import { startKvist } from './kvist-server.ts'
import { accessOptions, chooseOptions } from './options.ts'
import { killAll, processorSeconds, removeFolder, type Server } from './process.ts'
import { median } from './statistics.ts'
import { runWrk } from './wrk.ts'

const firstPort = 17_711
/** The least part of the processor time without targets. */
const bar = 0.8
const writesPerSecond = 2000
const value = JSON.stringify({ text: 'x'.repeat(88) })

const options = chooseOptions(accessOptions)
const dataDir = join(resolve(options.text('data')), 'mirror')

function urlOf(port: number): string {
  return `http://127.0.0.1:${port}`
}

/**
 * Runs the emitters on one processor and all else on another, the targets when the clients need nothing: what the targets
 * need is not taken from the emitter or its clients. With fewer requests at a time each would cost the emitter more.
 */
function setApart(emitters: readonly Emitter[], others: readonly Server[]): void {
  if (availableParallelism() < 2 || Bun.which('taskset') === null) return
  const pin = ({ pid }: { readonly pid: number }, processor: number) =>
    Bun.spawnSync(['taskset', '--all-tasks', '--cpu-list', '--pid', `${processor}`, `${pid}`])
  for (const emitter of emitters) pin(emitter, 0)
  for (const other of [...others, process]) pin(other, 1)
  for (const { pid } of others) setPriority(pid, constants.priority.PRIORITY_LOW)
}

interface Emitter {
  readonly title: string
  readonly port: number
  readonly pid: number
  readonly perSecond: number[]
  /** Of the emitter's processor. */
  readonly microseconds: number[]
}

async function runOnce({ port, pid, perSecond, microseconds }: Emitter, seed: number): Promise<void> {
  const seconds = options.number('seconds')
  const request = { ...kvistRequests.put, body: value }
  const before = processorSeconds(pid)
  const run = await runWrk({
    ...{
      port,
      request,
      choose: 'random',
      members: options.number('members'),
      connections: 64,
      seconds,
      seed,
    },
  })
  if (run.errors > 0) throw new Error(`${run.errors} requests went wrong`)
  perSecond.push(run.perSecond)
  await caughtUp(port)
  microseconds.push(((processorSeconds(pid) - before) * 1e6) / (run.perSecond * seconds))
}

/** Waits until the targets have everything: sending is a part of what a write costs. */
async function caughtUp(port: number): Promise<void> {
  const { nodes } = new Kvist(urlOf(port))
  while (
    (await nodes.status()).targets.some(({ state, lag_changes: lag }) => state !== 'current' || lag !== 0)
  ) {
    await Bun.sleep(20)
  }
}

/** Returns the milliseconds from the response to a write until a target shows it, while clients write at a fixed rate. */
async function lags(port: number, target: number): Promise<number[]> {
  const found: number[] = []
  let isDone = false
  const write = (key: string) =>
    fetch(`${urlOf(port)}/v1/bench/${key}`, { method: 'PUT', body: value }).then((response) =>
      response.text(),
    )
  const load = (async () => {
    for (let i = 0; !isDone; i++) {
      await Promise.all(
        Array.from({ length: writesPerSecond / 100 }, (_, n) => write(`load-${i % 100}-${n}`)),
      )
      await Bun.sleep(10)
    }
  })()
  for (let i = 0; i < 100 * options.number('seconds'); i++) {
    await write(`lag-${i}`)
    const writtenMs = performance.now()
    while ((await fetch(`${urlOf(target)}/v1/bench/lag-${i}`, { method: 'HEAD' })).status === 404)
      await Bun.sleep(1)
    found.push(performance.now() - writtenMs)
  }
  isDone = true
  await load
  return found.toSorted((a, b) => a - b)
}

async function run(): Promise<void> {
  removeFolder(dataDir)
  const [plainPort, mirrorPort, ...targetPorts] = [0, 1, 2, 3].map((n) => firstPort + n) as [
    number,
    number,
    ...number[],
  ]
  const servers: Server[] = []
  try {
    for (const port of targetPorts) servers.push(await startKvist(dataDir, `target-${port}`, port))
    const plain = await startKvist(dataDir, 'plain', plainPort)
    const flags = targetPorts.flatMap((port) => ['--mirror-to', urlOf(port)])
    const mirror = await startKvist(dataDir, 'emitter', mirrorPort, flags)
    servers.push(plain, mirror)
    const emitters: Emitter[] = [
      { title: 'no target', port: plainPort, pid: plain.pid, perSecond: [], microseconds: [] },
      { title: 'two targets', port: mirrorPort, pid: mirror.pid, perSecond: [], microseconds: [] },
    ]
    setApart(emitters, servers.slice(0, targetPorts.length))
    for (let round = 0; round < options.number('rounds'); round++) {
      for (const emitter of round % 2 === 0 ? emitters : emitters.toReversed()) await runOnce(emitter, round)
    }
    console.log(
      '| PUT | requests/s | of the first | µs of the emitter a request | of the first |\n| --- | --- | --- | --- | --- |',
    )
    const [rate, cost] = [median(emitters[0]!.perSecond), median(emitters[0]!.microseconds)]
    for (const { title, perSecond, microseconds } of emitters) {
      const part = cost / median(microseconds)
      const verdict = part >= bar ? '' : `, below the bar of ${bar}`
      console.log(
        `| ${title} | ${Math.round(median(perSecond))} | ${(median(perSecond) / rate).toFixed(2)} | ${median(microseconds).toFixed(1)} | ${part.toFixed(2)}${verdict} |`,
      )
    }
    const found = await lags(mirrorPort, targetPorts[0]!)
    const at = (part: number) => found[Math.floor(found.length * part)]!.toFixed(1)
    console.log(`lag at about ${writesPerSecond} writes a second: p50 ${at(0.5)} ms, p99 ${at(0.99)} ms`)
  } finally {
    for (const server of servers) await server.stop()
    removeFolder(dataDir)
  }
}

try {
  await run()
} catch (error) {
  await killAll()
  throw error
}
