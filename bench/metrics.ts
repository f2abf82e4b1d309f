/**
 * Measures what metrics cost: the same GET with and without them in one process (observed.ts), alternately. It compares
 * processor time, from /proc, which other work on the machine hardly affects. `--help` lists the options.
 */
import { join, resolve } from 'node:path'
import { chooseOptions, metricsOptions } from './options.ts'
import { killAll, processorSeconds, removeFolder, startServer, waitUntilReady } from './process.ts'
import { median } from './statistics.ts'
import { runWrk } from './wrk.ts'

const port = 17_699
const kinds = ['plain', 'counted'] as const

const options = chooseOptions(metricsOptions)
const dataDir = join(resolve(options.text('data')), 'metrics')
const microseconds: Record<(typeof kinds)[number], number[]> = { plain: [], counted: [] }

/** Runs the load once and returns the microseconds of processor time for each request. */
async function runOnce(pid: number, kind: string, seed: number): Promise<number> {
  const seconds = options.number('seconds')
  const before = processorSeconds(pid)
  const request = { method: 'GET', path: `/${kind}/bench/one` } as const
  const { perSecond, errors } = await runWrk({
    ...{ port, request, choose: 'one', members: 1, connections: 64, seconds, seed },
  })
  if (errors > 0) throw new Error(`${errors} requests went wrong`)
  return ((processorSeconds(pid) - before) * 1e6) / (perSecond * seconds)
}

async function run(): Promise<void> {
  removeFolder(dataDir)
  const program = join(import.meta.dir, 'observed.ts')
  const server = startServer('observed', [process.execPath, program, `${port}`, `${dataDir}/store`], dataDir)
  try {
    await waitUntilReady(server, `http://127.0.0.1:${port}/plain/bench/one`, '{')
    for (const kind of kinds) await runOnce(server.pid, kind, 0)
    for (let round = 1; round <= options.number('rounds'); round++) {
      for (const kind of round % 2 === 0 ? kinds : kinds.toReversed()) {
        microseconds[kind].push(await runOnce(server.pid, kind, round))
      }
    }
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

const differences = microseconds.counted.map((counted, i) => counted - (microseconds.plain[i] ?? Number.NaN))
const plain = median(microseconds.plain)
const more = median(differences)
console.log(`| GET, ${differences.length} runs each | µs of processor a request |
| --- | --- |
| not counted | ${plain.toFixed(2)} |
| counted | ${median(microseconds.counted).toFixed(2)} |
| more, median of the pairs | ${more.toFixed(3)} (${((more / plain) * 100).toFixed(1)} %) |`)
