/**
 * Measures kvist with very many members: whether depth, size and time make it slower, how quickly it starts, and how
 * much memory it takes. `bun bench/scale.ts --help` lists the options.
 */
import { join, resolve } from 'node:path'
import { type Bound, verdict } from './bars.ts'
import { kvist } from './contestants.ts'
import { keyOf } from './members.ts'
import { driftMb, memorySeries, peakMb, secondHalf, slopeMb } from './memory.ts'
import { chooseOptions, scaleOptions } from './options.ts'
import { bytesPerMb, killAll, memoryOf, removeFolder, type Server, watchMemory } from './process.ts'
import { print, report } from './report.ts'
import { machineLine, type Series, type Verdict } from './results.ts'
import { mean, median } from './statistics.ts'
import { type RawRequest, runWrk, type WrkFigures } from './wrk.ts'

const bars = {
  import: { text: 'NDJSON import, members a second', atLeast: 150_000 },
  importGrowth: {
    text: 'growth of memory in the second half of the import, for each byte imported in it',
    atMost: 0.1,
  },
  importPeak: { text: 'largest memory during the import' },
  deepFrom: { text: 'p50 of a page of 100 deep (`from`) against the first page', atMost: 1.3 },
  deepCursor: { text: 'p50 of a page of 100 deep (`cursor`) against the first page', atMost: 1.3 },
  get: { text: 'time of a GET at random against one in the small store', atMost: 1.3 },
  cleanStart: { text: 'ready after a clean stop, slowest', atMost: 150 },
  killedStart: { text: 'ready after `kill -9` under load, slowest', atMost: 1000 },
  idle: { text: 'memory when idle', atMost: 100 },
  idleAnonymous: { text: 'memory when idle, without mapped files' },
  writing: { text: 'largest memory while writing as fast as it goes', atMost: 512 },
  writingGrowth: {
    text: 'growth of memory over the second half of the writing, of its mean there',
    atMost: 0.1,
  },
  writingSlope: { text: 'slope of memory over the second half of the writing' },
  writingRate: { text: 'PUT at random while writing, a second' },
  writingSlowest: { text: 'slowest PUT while writing', atMost: 250 },
  writingErrors: { text: 'PUTs that failed, or took longer than 20 s', atMost: 0 },
} satisfies Record<string, Bound>

const smallMembers = 10_000
const secondsUntilKill = 3
const connections = 64

/** The optional steps, in order; the import, which all of them need, comes first. */
const steps = {
  pages: comparePages,
  sizes: compareSizes,
  start: startAfterCleanStop,
  idle: sitIdle,
  kill: startAfterKill,
  writing: writeForLong,
}

const options = chooseOptions(scaleOptions)
const members = options.number('members')
const large = kvist('large', 17040, 'full')
const small = kvist('small', 17041, 'full')
const verdicts: Verdict[] = []
const series: Series[] = []

/** Records a figure with its bar, and prints it. */
function note(bar: Bound, unit: string, value: number, rounds?: readonly number[]): void {
  const found = verdict(bar, unit, value, rounds)
  verdicts.push(found)
  print(`  ${bar.text}: ${value.toFixed(2)} ${unit}${found.reached ? '' : ', NOT REACHED'}`)
}

function folderOf(name: string): string {
  return join(resolve(options.text('data')), `scale-${name}`)
}

async function startLarge(): Promise<Server> {
  return await large.start(folderOf('large'), '')
}

async function load(
  port: number,
  request: RawRequest,
  seconds: number,
  seed: number,
  among = members,
): Promise<WrkFigures> {
  const figures = await runWrk({
    port,
    request,
    choose: 'random',
    members: among,
    connections,
    seconds,
    seed,
  })
  if (figures.errors > 0) print(`  ${figures.errors} errors at ${request.path}`)
  return figures
}

async function importAll(): Promise<void> {
  const server = await startLarge()
  const stopWatching = watchMemory(server.pid, 200)
  const startedAt = performance.now()
  await large.import(members)
  const seconds = (performance.now() - startedAt) / 1000
  const samples = stopWatching()
  await server.stop()
  const half = secondHalf(samples)
  const lineBytes = `{"key":"${keyOf(0)}","value":}\n`.length + 100
  const importedMb = (members * lineBytes) / 2 / bytesPerMb
  note(bars.import, '/s', members / seconds)
  note(bars.importGrowth, 'bytes', driftMb(half) / importedMb)
  note(bars.importPeak, 'MB', peakMb(samples))
  series.push(memorySeries(`import of ${members.toLocaleString('en-US')} members: memory`, samples))
}

/** Measures the first page and two deep ones alternately, so that noise affects all three. */
async function comparePages(): Promise<void> {
  const server = await startLarge()
  const deepKey = keyOf(Math.floor(members * 0.99))
  const pages = { first: '/v1/bench?limit=100', from: `/v1/bench?limit=100&from=${deepKey}`, cursor: '' }
  pages.cursor = `/v1/bench?limit=100&cursor=${encodeURIComponent(await nextOf(pages.from))}`
  const p50Ms: Record<keyof typeof pages, number[]> = { first: [], from: [], cursor: [] }
  for (let round = 1; round <= options.number('rounds'); round++) {
    for (const page of ['first', 'from', 'cursor'] as const) {
      const request = { method: 'GET', path: pages[page] } as const
      p50Ms[page].push((await load(large.port, request, options.number('seconds'), round)).p50Ms)
    }
  }
  await server.stop()
  noteRatio(bars.deepFrom, p50Ms.from, p50Ms.first)
  noteRatio(bars.deepCursor, p50Ms.cursor, p50Ms.first)
}

/** Returns the cursor of the next page, and checks that the page is full. */
async function nextOf(path: string): Promise<string> {
  const reply = await fetch(`http://127.0.0.1:${large.port}${path}`)
  const page: unknown = await reply.json()
  const whole =
    page instanceof Object && 'members' in page && Array.isArray(page.members) && page.members.length === 100
  if (!whole || !('next' in page) || typeof page.next !== 'string')
    throw new Error(`${path} gave no page of 100`)
  return page.next
}

/** Measures the large store and the small one alternately, each alone. */
async function compareSizes(): Promise<void> {
  const filling = await small.start(folderOf('small'), '')
  await small.import(smallMembers)
  await filling.stop()
  const perSecond = { large: [] as number[], small: [] as number[] }
  for (let round = 1; round <= options.number('rounds'); round++) {
    for (const [name, contestant, among] of [
      ['large', large, members],
      ['small', small, smallMembers],
    ] as const) {
      const server = await contestant.start(folderOf(name), '')
      await load(contestant.port, contestant.asks.get, 2, 1000 + round, among)
      const seconds = options.number('seconds')
      perSecond[name].push(
        (await load(contestant.port, contestant.asks.get, seconds, round, among)).perSecond,
      )
      await server.stop()
    }
  }
  noteRatio(bars.get, perSecond.small, perSecond.large)
}

async function startAfterCleanStop(): Promise<void> {
  const readyMs: number[] = []
  for (let start = 0; start < options.number('starts'); start++) {
    const startedAt = performance.now()
    const server = await startLarge()
    readyMs.push(performance.now() - startedAt)
    await server.stop()
  }
  note(bars.cleanStart, 'ms', Math.max(...readyMs), readyMs)
}

async function sitIdle(): Promise<void> {
  const server = await startLarge()
  await Bun.sleep(options.number('quiet') * 1000)
  const memory = memoryOf(server.pid)
  await server.stop()
  note(bars.idle, 'MB', memory?.rssMb ?? Number.NaN)
  note(bars.idleAnonymous, 'MB', memory?.anonymousMb ?? Number.NaN)
}

async function startAfterKill(): Promise<void> {
  const readyMs: number[] = []
  let server = await startLarge()
  for (let start = 1; start <= options.number('starts'); start++) {
    const request = large.asks.put
    const run = { port: large.port, request, choose: 'random', members, connections, seed: start } as const
    const writing = runWrk({ ...run, seconds: secondsUntilKill + 1 })
    await Bun.sleep(secondsUntilKill * 1000)
    await server.kill()
    // The rest of the load must not take processor time from the measured start.
    await writing
    const startedAt = performance.now()
    server = await startLarge()
    readyMs.push(performance.now() - startedAt)
  }
  await server.stop()
  note(bars.killedStart, 'ms', Math.max(...readyMs), readyMs)
}

async function writeForLong(): Promise<void> {
  const server = await startLarge()
  const stopWatching = watchMemory(server.pid, 1000)
  const seconds = Math.max(2, Math.round(options.number('minutes') * 60))
  const figures = await load(large.port, large.asks.put, seconds, 1)
  const samples = stopWatching()
  await server.stop()
  const half = secondHalf(samples)
  note(bars.writing, 'MB', peakMb(samples))
  note(bars.writingGrowth, 'of it', driftMb(half) / mean(half.map(({ rssMb }) => rssMb)))
  note(bars.writingSlope, 'MB a minute', slopeMb(half) * 60)
  note(bars.writingRate, '/s', figures.perSecond)
  note(bars.writingSlowest, 'ms', figures.maxMs)
  note(bars.writingErrors, 'of them', figures.errors)
  series.push({ ...memorySeries('writing as fast as it goes: memory', samples), limit: bars.writing.atMost })
}

function noteRatio(bar: Bound, above: readonly number[], below: readonly number[]): void {
  const rounds = above.map((value, round) => value / (below[round] ?? Number.NaN))
  note(bar, '×', median(above) / median(below), rounds)
}

function removeData(): void {
  for (const name of ['large', 'small']) removeFolder(folderOf(name))
}

async function main(): Promise<void> {
  if (!Bun.which('wrk')) throw new Error('wrk is not there; it is a Debian package')
  const machine = machineLine()
  const at = new Date().toISOString()
  removeData()
  const wanted = options.list('only')
  const unknown = wanted.find((name) => !Object.hasOwn(steps, name))
  if (unknown !== undefined) throw new Error(`${unknown} is none of ${Object.keys(steps).join(', ')}`)
  print('import')
  await importAll()
  for (const [name, step] of Object.entries(steps)) {
    if (wanted.length > 0 && !wanted.includes(name)) continue
    print(name)
    await step()
  }
  const size = members.toLocaleString('en-US')
  const remarks = [
    `${size} members of 100 bytes; wrk with one thread, ${connections} connections. Memory is resident memory from /proc. ` +
      `The small store has ${smallMembers.toLocaleString('en-US')} members. Files are in the page cache at every start. ` +
      `${options.text('minutes')} minutes of writing.`,
    ...(options.quick ? ['A quick run: it shows that things work, not how fast they are.'] : []),
  ]
  await report(options.text('name'), {
    title: `kvist with ${size} members`,
    at,
    machine,
    remarks,
    loads: [],
    verdicts,
    series,
  })
}

async function leave(code: number): Promise<never> {
  await killAll()
  removeData()
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
