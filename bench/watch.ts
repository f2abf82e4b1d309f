/**
 * Measures watchers: how soon a change reaches them, whether they miss one, what they cost in memory and in writes of
 * other clients, and how quickly a reader catches up. `bun bench/watch.ts --help` lists the options.
 */
import { join, resolve } from 'node:path'
import { type Bound, judge, verdict } from './bars.ts'
import { readPages, readStream } from './catch-up.ts'
import { kvist } from './contestants.ts'
import { memorySeries, peakMb } from './memory.ts'
import { chooseOptions, pick, watchOptions } from './options.ts'
import { killAll, memoryOf, openFilesLimit, removeFolder, type Server, watchMemory } from './process.ts'
import { print, report } from './report.ts'
import { type LoadResult, type Measure, machineLine, type Row, type Series, type Verdict } from './results.ts'
import { type ChangesRun, makeChanges } from './watch-changes.ts'
import { openWatchers, type Watchers } from './watchers.ts'
import { runWrk } from './wrk.ts'

const memoryBar: Bound = { text: 'memory of the server for each idle watcher', atMost: 20 }

const port = 25_050
const storedPerSecond = 2000
const changesPerSecond = 100
/** Changes per second that each are an event for every watcher. */
const changesToAllPerSecond = 1
const writingConnections = 64
const writtenMembers = 100_000
const kbPerMb = 1000
/** Open files beside those of the watchers. */
const otherFiles = 500

const options = chooseOptions(watchOptions)
const subject = kvist('watched', port, 'full')
const dataDir = join(resolve(options.text('data')), 'watched')

/** The results of the steps so far. */
const reachRows: Row[] = []
const loads: LoadResult[] = []
const verdicts: Verdict[] = []
const series: Series[] = []

const steps = [
  { name: 'many', run: manyWatchers },
  { name: 'one', run: oneKey },
  { name: 'writes', run: writesOfOthers },
  { name: 'changes', run: catchUp },
] as const

function rounds(): number[] {
  return Array.from({ length: options.number('rounds') }, (_, index) => index + 1)
}

function row(contestant: string, title: string, found: readonly Measure[]): Row {
  return { contestant, title, variant: '', rounds: found }
}

/** Opens watchers of these keys until `use` is done. */
async function withWatchers(
  run: { path: string; keys: number; watchers: number },
  use: (watchers: Watchers) => Promise<void>,
): Promise<void> {
  const watchers = await openWatchers({ port, ...run })
  await use(watchers)
  await watchers.close()
}

async function manyWatchers(server: Server): Promise<void> {
  const [watchers, keys] = [options.number('watchers'), options.number('keys')]
  const quietMs = options.number('quiet') * 1000
  const path = '/v1/watched/key-'
  await makeChanges({
    port,
    pathOf: (n) => `${path}${n}`,
    from: 0,
    count: keys,
    perSecond: storedPerSecond,
  })
  const before = memoryOf(server.pid)?.rssMb ?? Number.NaN
  const stopWatching = watchMemory(server.pid, 250)
  await withWatchers({ path, keys, watchers }, async (open) => {
    await Bun.sleep(quietMs)
    const samples = stopWatching()
    const idleMb = (samples.at(-1)?.rssMb ?? Number.NaN) - before
    verdicts.push(verdict(memoryBar, 'kB', (idleMb * kbPerMb) / watchers))
    series.push(
      memorySeries(`${watchers.toLocaleString('en-US')} watchers are opened, and idle: memory`, samples),
    )
    print(`  ${before.toFixed(0)} MB before, ${idleMb.toFixed(0)} MB more when idle`)
    const changes = {
      pathOf: (n: number) => `${path}${n % keys}`,
      perSecond: changesPerSecond,
    }
    await measureReach(server, open, { name: 'each', watchers, reported: watchers / keys }, changes)
  })
  await withWatchers({ path, keys: 1, watchers }, async (open) => {
    const changes = { pathOf: () => `${path}0`, perSecond: changesToAllPerSecond }
    await measureReach(server, open, { name: 'all', watchers, reported: watchers }, changes)
  })
}

async function oneKey(server: Server): Promise<void> {
  const path = '/v1/watched/key-'
  const watchers = options.number('one-key-watchers')
  await withWatchers({ path, keys: 1, watchers }, async (open) => {
    const changes = { pathOf: () => `${path}0`, perSecond: changesPerSecond }
    await measureReach(server, open, { name: 'one', watchers, reported: watchers }, changes)
  })
}

/** Makes changes at a rate, in rounds; each change should be reported to `reported` of the open watchers. */
async function measureReach(
  server: Server,
  open: Watchers,
  { name, watchers, reported }: { name: string; watchers: number; reported: number },
  changes: Pick<ChangesRun, 'pathOf' | 'perSecond'>,
): Promise<void> {
  const count = Math.ceil(options.number('seconds') * changes.perSecond)
  const found: Measure[] = []
  for (const round of rounds()) {
    const stopWatching = watchMemory(server.pid, 250)
    const seconds = await makeChanges({ port, from: round * count, count, ...changes })
    const expected = count * reported
    const { received, wrong, p50Ms, p99Ms, maxMs, processorShare } = await open.figures(expected)
    const errors = Math.abs(expected - received) + wrong
    const peak = peakMb(stopWatching())
    found.push({ perSecond: received / seconds, p50Ms, p99Ms, maxMs, errors, peakMb: peak })
    print(
      `  ${reported} watchers a change, round ${round}: ${received} events of ${expected}, ${wrong} wrong, ` +
        `p99 ${p99Ms.toFixed(1)} ms; the client took ${(processorShare * 100).toFixed(0)} % of a core`,
    )
  }
  const part = reported === watchers ? 'all' : reported.toLocaleString('en-US')
  reachRows.push(row(name, `${part} of ${watchers.toLocaleString('en-US')}`, found))
}

/** Measures writes on the same server with idle watchers and without, alternately. */
async function writesOfOthers(server: Server): Promise<void> {
  const watchers = options.number('idle-watchers')
  await subject.import(writtenMembers)
  async function write(seconds: number, seed: number): Promise<Measure> {
    const stopWatching = watchMemory(server.pid, 250)
    const request = subject.asks.put
    const among = { choose: 'random', members: writtenMembers, connections: writingConnections } as const
    const figures = await runWrk({ port, request, ...among, seconds, seed })
    return { ...figures, peakMb: peakMb(stopWatching()) }
  }
  await write(2, 0)
  const found = { kvist: [] as Measure[], unwatched: [] as Measure[] }
  for (const round of rounds()) {
    const order = ['kvist', 'unwatched'] as const
    for (const name of round % 2 === 0 ? order : order.toReversed()) {
      const run = async () => void found[name].push(await write(options.number('seconds'), round))
      if (name === 'unwatched') await run()
      else await withWatchers({ path: '/v1/bench/idle-', keys: watchers, watchers }, run)
      print(`  ${name}, round ${round}: ${found[name].at(-1)?.perSecond.toFixed(0)} a second`)
    }
  }
  loads.push({
    name: 'put-watched',
    title: 'durable PUT, 64 connections',
    unit: 'answers/s',
    rows: [
      row('kvist', `${watchers.toLocaleString('en-US')} watchers`, found.kvist),
      row('unwatched', 'no watchers', found.unwatched),
    ],
  })
}

async function catchUp(server: Server): Promise<void> {
  const members = options.number('members')
  await subject.import(members)
  const ways = [
    { name: 'changes-pages', title: 'catching up by pages', read: readPages, found: [] as Measure[] },
    { name: 'changes-stream', title: 'catching up by a stream', read: readStream, found: [] as Measure[] },
  ]
  for (const round of rounds()) {
    for (const { title, read, found } of ways) {
      const stopWatching = watchMemory(server.pid, 100)
      const startedAt = performance.now()
      await read(port, members)
      const perSecond = (members * 1000) / (performance.now() - startedAt)
      const times = { p50Ms: null, p99Ms: null, maxMs: null }
      found.push({ perSecond, ...times, errors: 0, peakMb: peakMb(stopWatching()) })
      print(`  ${title}, round ${round}: ${perSecond.toFixed(0)} changes a second`)
    }
  }
  for (const { name, title, found } of ways) {
    loads.push({ name, title, unit: 'changes/s', rows: [row('kvist', 'kvist', found)] })
  }
}

function remarks(): string[] {
  const shown = (name: 'watchers' | 'keys' | 'members' | 'one-key-watchers') =>
    options.number(name).toLocaleString('en-US')
  return [
    `${shown('watchers')} open watchers of ${shown('keys')} keys, of which ${changesPerSecond} a second change; ` +
      `${shown('one-key-watchers')} of one key that changes as often; ${shown('watchers')} of one key that changes ` +
      `${changesToAllPerSecond === 1 ? 'once' : `${changesToAllPerSecond} times`} a second. ${options.text('rounds')} rounds of ${options.text('seconds')} s. ` +
      'Times are from the sending of the PUT until the event was read by its watcher; the client and who writes are on the same cores. ' +
      'An error is a change that a watcher missed or got out of order.',
    `Catching up is over ${shown('members')} changes. Writes are at random among ${writtenMembers.toLocaleString('en-US')} members.`,
    ...(options.quick ? ['A quick run: it shows that things work, not how fast they are.'] : []),
  ]
}

async function main(): Promise<void> {
  if (!Bun.which('wrk')) throw new Error('wrk is not there; it is a Debian package')
  const wanted = pick(steps, options.list('only'))
  const needed = options.number('watchers') + otherFiles
  if (openFilesLimit() < needed)
    throw new Error(`${needed} open files are needed: raise the limit (ulimit -n)`)
  const machine = machineLine()
  const at = new Date().toISOString()
  for (const { name, run } of wanted) {
    print(name)
    removeFolder(dataDir)
    const server = await subject.start(dataDir, '')
    await run(server)
    await server.stop()
  }
  const reach: LoadResult = {
    ...{ name: 'reach', title: 'a change reaches its watchers', unit: 'events/s', charted: 'p99Ms' },
    rows: reachRows,
  }
  const found = reachRows.length > 0 ? [reach, ...loads] : loads
  await report(options.text('name'), {
    title: 'Those who watch kvist',
    at,
    machine,
    remarks: remarks(),
    loads: found,
    verdicts: [...verdicts, ...judge(found)],
    series,
  })
}

async function leave(code: number): Promise<never> {
  await killAll()
  removeFolder(dataDir)
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
