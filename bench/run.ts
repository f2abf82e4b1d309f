/**
 * Compares the contestants: every load in rounds, in each of which every contestant runs once, so that other work on
 * the machine affects all alike. `bun bench/run.ts --help` lists the options; README.md explains why it is fair.
 */
import { join, resolve } from 'node:path'
import { judge, summaryOf } from './bars.ts'
import { type Contestant, contestants } from './contestants.ts'
import { type Load, loads, runLoad } from './loads.ts'
import { benchOptions, chooseOptions, pick } from './options.ts'
import { killAll, removeFolder } from './process.ts'
import { print, report } from './report.ts'
import { type LoadResult, type Measure, machineLine, packageVersion, type Row } from './results.ts'

const options = chooseOptions(benchOptions)
const members = options.number('members')
const rounds = options.number('rounds')
const tuneRounds = options.quick ? 1 : 2
const tuneSeconds = options.quick ? 1 : 3
const loaded = new Set<string>()

function missingOf({ programs }: Contestant): string | undefined {
  return programs.find((program) => !Bun.which(program))
}

function folderOf({ name }: Contestant, what: string): string {
  return join(resolve(options.text('data')), `${name}-${what}`)
}

/** Runs the load once: starts the contestant, runs the load, and stops it. An error is reported and ends only this run. */
async function runOnce(
  contestant: Contestant,
  load: Load,
  variant: string,
  round: number,
  seconds: number,
): Promise<Measure | string> {
  const dataDir = folderOf(contestant, load.on)
  try {
    if (load.on === 'empty') removeFolder(dataDir)
    else await loadOnce(contestant, dataDir)
    const server = await contestant.start(dataDir, variant)
    try {
      const warmupSeconds = options.quick ? 1 : 2
      return await runLoad({ contestant, server, load, members, warmupSeconds, seconds, round })
    } finally {
      await server.stop()
      if (load.on === 'empty') removeFolder(dataDir)
    }
  } catch (error) {
    await killAll()
    return (error instanceof Error ? error.message : String(error)).replace(/\s+/g, ' ')
  }
}

/** Fills the store of a contestant before its first run. */
async function loadOnce(contestant: Contestant, dataDir: string): Promise<void> {
  if (loaded.has(contestant.name)) return
  removeFolder(dataDir)
  const server = await contestant.start(dataDir, contestant.variants[0] ?? '')
  try {
    await contestant.import(members)
  } finally {
    await server.stop()
  }
  loaded.add(contestant.name)
}

/** Returns the variant that is quickest at this load in short trials, run alternately. */
async function bestVariant(contestant: Contestant, load: Load): Promise<string> {
  const { variants } = contestant
  const trials = variants.map((variant) => ({ variant, found: [] as Measure[] }))
  if (variants.length === 1 || load.how.kind === 'import') return variants[0] ?? ''
  for (let round = 1; round <= tuneRounds; round++) {
    for (const { variant, found } of trials) {
      const measure = await runOnce(contestant, load, variant, round, tuneSeconds)
      if (typeof measure !== 'string') found.push(measure)
    }
  }
  const rates = trials.map(({ variant, found }) => ({ variant, rate: summaryOf(found)?.perSecond ?? 0 }))
  const best = rates.toSorted((a, b) => b.rate - a.rate)[0]
  print(
    `  ${contestant.title}: ${rates.map(({ variant, rate }) => `${variant} ${rate.toFixed(0)}`).join(', ')} a second`,
  )
  return best?.variant ?? ''
}

async function runRounds(load: Load, present: readonly Contestant[]): Promise<LoadResult> {
  print(`${load.title}`)
  const taking = present.filter(({ kinds }) => kinds.includes(load.how.kind))
  const rows = []
  for (const contestant of taking) {
    const variant = await bestVariant(contestant, load)
    rows.push({ contestant, variant, found: [] as Measure[], failures: [] as string[] })
  }
  const seconds = options.number(load.how.kind === 'put' ? 'put-seconds' : 'seconds')
  for (let round = 1; round <= rounds; round++) {
    for (const { contestant, variant, found, failures } of rows) {
      const measure = await runOnce(contestant, load, variant, round, seconds)
      if (typeof measure === 'string') failures.push(measure)
      else found.push(measure)
      const figure = typeof measure === 'string' ? measure : `${measure.perSecond.toFixed(0)} ${load.unit}`
      print(`  round ${round}, ${contestant.title}: ${figure}`)
    }
  }
  return {
    name: load.name,
    title: load.title,
    unit: load.unit,
    ...(load.note !== undefined && { note: load.note }),
    rows: rows.map(({ contestant, variant, found, failures }): Row => {
      const [failed] = failures
      const { name, title } = contestant
      return { contestant: name, title, variant, rounds: found, ...(failed !== undefined && { failed }) }
    }),
  }
}

function remarksOf(chosen: readonly Contestant[], results: readonly LoadResult[]): string[] {
  const versions = chosen
    .flatMap(({ packages }) => packages.map((name) => [name, packageVersion(name)]))
    .flatMap(([name, version]) => (version ? [`${name} ${version}`] : []))
  const absent = chosen.flatMap((contestant) => {
    const program = missingOf(contestant)
    return program ? [`Left out: ${contestant.title}, for ${program} is not there.`] : []
  })
  const variants = results.flatMap(({ name, title, rows }) =>
    rows.flatMap(({ contestant, variant }) =>
      contestant === 'webdis' && name !== 'import' ? [`${title} ${variant}`] : [],
    ),
  )
  const seconds = `${options.text('seconds')} s, PUT ${options.text('put-seconds')} s`
  return [
    `${members.toLocaleString('en-US')} members of 100 bytes; ${rounds} rounds of ${seconds}; wrk with one thread, 64 connections where no other number stands. Of the rounds: the median; the slowest answer, the errors and the largest memory of all (of webdis + Redis: Redis alone).`,
    ...(versions.length > 0 ? [`Peers: ${versions.join(', ')}.`] : []),
    ...(variants.length > 0
      ? [`webdis threads/connections to Redis each, the best of five for each load: ${variants.join('; ')}.`]
      : []),
    ...(options.quick ? ['A quick run: it shows that things work, not how fast they are.'] : []),
    ...absent,
  ]
}

function removeData(): void {
  for (const contestant of contestants) {
    for (const what of ['loaded', 'empty']) removeFolder(folderOf(contestant, what))
  }
}

async function main(): Promise<void> {
  if (!Bun.which('wrk')) throw new Error('wrk is not there; it is a Debian package')
  const chosen = pick(contestants, options.list('contestants'))
  const wanted = pick(loads, options.list('only'))
  const present = chosen.filter((contestant) => missingOf(contestant) === undefined)
  const machine = machineLine()
  const at = new Date().toISOString()
  const found: LoadResult[] = []
  for (const load of wanted) found.push(await runRounds(load, present))
  await report(options.text('name'), {
    title: 'kvist and its peers',
    at,
    machine,
    remarks: remarksOf(chosen, found),
    loads: found,
    verdicts: judge(found),
    series: [],
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
