import { join, resolve } from 'node:path'
import { type Database, openDatabase } from '../src/core/database.ts'
import { parseIndexes } from '../src/core/indexes/definition.ts'
import { noSettings } from '../src/core/settings.ts'
import { openSqlite } from '../src/engines/sqlite/engine.ts'
import { cityOf } from './cities.ts'
import { measureBuilds } from './index-builds.ts'
import { measurePages } from './index-pages.ts'
import { measurePuts } from './index-puts.ts'
import { keyOf } from './members.ts'
import { chooseOptions, indexesOptions, pick } from './options.ts'
import { killAll, removeFolder } from './process.ts'
import { median } from './statistics.ts'

/**
 * What indexes cost, on the SQLite engine, in parts: `puts` into collections without indexes, with one and with three; `elsewhere`, into
 * a collection without while another one has an index; over HTTP `http`, the same puts (index-puts.ts), `builds` beside writers
 * (index-builds.ts), and `pages` by an
 * index beside those by key (index-pages.ts). Processor time counts, since the machine may be busy with other work. `--help` lists the options.
 *
 *     npm run bench:indexes -- --members 1000000 --only puts,builds
 */

const options = chooseOptions(indexesOptions)
const members = options.number('members')
const clients = 64
const putsOfRound = 20_000
/** Beside the first one, in which code is compiled. */
const rounds = 6

function open(dir: string): Promise<Database> {
  return openDatabase({
    open: (onCommit) => openSqlite({ dir, durability: 'full', onCommit }),
    cacheBytes: 64 * 2 ** 20,
    now: Date.now,
    onError(error) {
      throw error
    },
  })
}

const contentOf = (i: number) => ({
  ...{ value: cityOf(i), contentType: 'application/json', flags: 0, expiresAtMs: null },
})

const byCountry = { name: 'by_country', on: ['@.country', '@.population'] }
const byName = { name: 'by_name', on: ['@.name'] }
const byLat = { name: 'by_lat', on: ['@.lat'] }
const kinds = [
  ['none', []],
  ['one', [byCountry]],
  ['three', [byCountry, byName, byLat]],
] as const

interface Spent {
  readonly count: number
  readonly wallMs: number
  readonly cpuMs: number
}

async function spending(work: () => Promise<number>): Promise<Spent> {
  const cpu = process.cpuUsage()
  const startMs = performance.now()
  const count = await work()
  const { user, system } = process.cpuUsage(cpu)
  return { count, wallMs: performance.now() - startMs, cpuMs: (user + system) / 1000 }
}

type Put = (i: number) => Promise<unknown>

/** Puts as many clients do, and waits until the flusher is done too: what it does is part of the cost. */
async function putting(put: Put): Promise<Spent> {
  let next = 0
  async function client(): Promise<void> {
    while (next < putsOfRound) await put(next++)
  }
  const cpu = process.cpuUsage()
  const { wallMs } = await spending(async () => {
    await Promise.all(Array.from({ length: clients }, client))
    return putsOfRound
  })
  await untilIdle()
  const { user, system } = process.cpuUsage(cpu)
  return { count: putsOfRound, wallMs, cpuMs: (user + system) / 1000 }
}

async function untilIdle(): Promise<void> {
  // The log is flushed a second after the last commit.
  await Bun.sleep(1200)
  for (let idle = 0; idle < 4; ) {
    const cpu = process.cpuUsage()
    await Bun.sleep(50)
    const { user, system } = process.cpuUsage(cpu)
    idle = user + system < 2500 ? idle + 1 : 0
  }
}

const perMember = ({ count, cpuMs }: Spent) => (cpuMs * 1000) / count
const rate = ({ count, wallMs }: Spent) => (count * 1000) / wallMs

type Kind = readonly [name: string, prepare: (round: number) => Promise<Put>]

/** Does all kinds in each round, another one first each time, and prints the medians beside those of the first kind. */
async function compare(title: string, compared: readonly Kind[]): Promise<void> {
  const spent = compared.map((): Spent[] => [])
  for (let round = 0; round <= rounds; round++) {
    for (let i = 0; i < compared.length; i++) {
      const kind = (i + round) % compared.length
      const result = await putting(await compared[kind]![1](round))
      if (round > 0) spent[kind]!.push(result)
    }
  }
  const plain = { cpu: median(spent[0]!.map(perMember)), rate: median(spent[0]!.map(rate)) }
  for (const [i, [name]] of compared.entries()) {
    const own = { cpu: median(spent[i]!.map(perMember)), rate: median(spent[i]!.map(rate)) }
    console.log(
      `${title}, ${name}: ${own.cpu.toFixed(1)} µs of processor time, ${(plain.cpu / own.cpu).toFixed(3)}; ` +
        `${Math.round(own.rate)} a second, ${(own.rate / plain.rate).toFixed(2)}`,
    )
  }
}

async function puts(db: Database): Promise<void> {
  for (const [name, on] of kinds) await db.setSettings(name, { ...noSettings, indexes: parseIndexes(on) })
  const into = (name: string, city: (i: number) => number) => async (round: number) => (i: number) => {
    const n = round * putsOfRound + i
    return db.put(name, keyOf(n), contentOf(city(n)))
  }
  const all = (city: (i: number) => number) => kinds.map(([name]) => [name, into(name, city)] as const)
  await compare(
    'a new member',
    all((n) => n),
  )
  await compare(
    'over another value',
    all((n) => n + 1),
  )
  await compare(
    'over the same value',
    all((n) => n + 1),
  )
}

/** Puts into a collection without indexes while another one has one. The figures of the first two kinds differ by chance alone. */
async function elsewhere(db: Database): Promise<void> {
  const having = (indexes: readonly object[]) => async () => {
    await db.setSettings('other', { ...noSettings, indexes: parseIndexes(indexes) })
    await untilIdle()
    return (i: number) => db.put('plain', keyOf(i), contentOf(i))
  }
  await compare('a put elsewhere', [
    ['no index', having([])],
    ['no index again', having([])],
    ['an index in another collection', having([byCountry])],
  ])
}

const dir = join(resolve(options.text('data')), 'indexes')
const parts: readonly { readonly name: string; readonly measure: (db: Database) => Promise<void> }[] = [
  { name: 'elsewhere', measure: elsewhere },
  { name: 'puts', measure: puts },
  { name: 'http', measure: () => measurePuts(dir, kinds, options.number('put-seconds')) },
  { name: 'builds', measure: () => measureBuilds(dir, members) },
  { name: 'pages', measure: () => measurePages(dir, members) },
]
const chosen = pick(parts, options.list('only'))
removeFolder(dir)
try {
  for (const { name, measure } of chosen) {
    const db = await open(join(dir, name))
    await measure(db)
    await db.close()
  }
} finally {
  await killAll()
  removeFolder(dir)
}
