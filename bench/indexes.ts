import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Database, openDatabase, wholeCollection } from '../src/core/database.ts'
import { parseFindOrder, parseWhere } from '../src/core/find/expressions.ts'
import { parseIndexes } from '../src/core/indexes/definition.ts'
import { everything } from '../src/core/list.ts'
import { noSettings } from '../src/core/settings.ts'
import { openSqlite } from '../src/engines/sqlite/engine.ts'

/**
 * What indexes cost, in process, on the SQLite engine: puts into collections without indexes, with one and with three; an index
 * built over many members while clients write; a page by an index beside a page by key. Processor time counts, since the machine may
 * be busy with other work.
 *
 *     npm run bench:indexes -- --members 1000000
 */

const flag = process.argv.indexOf('--members')
const members = flag === -1 ? 1_000_000 : Number(process.argv[flag + 1])
const clients = 64
const putsOfRound = 20_000
const rounds = 5

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

const countries = ['AT', 'CH', 'DE', 'DK', 'FI', 'NO', 'SE']

function textOf(i: number): string {
  const country = countries[(i * 7919) % countries.length]
  return `{"name":"city ${i}","country":"${country}","population":${(i * 104_729) % 10_000_000},"lat":${i % 90}.5,"lon":${i % 180}.25}`
}

const contentOf = (i: number) => ({
  ...{ value: textOf(i), contentType: 'application/json', flags: 0, expiresAtMs: null },
})
const keyOf = (i: number) => `city-${String(i).padStart(8, '0')}`

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

async function putMany(db: Database, collection: string, from: number, count: number): Promise<number> {
  let next = from
  async function client(): Promise<void> {
    while (next < from + count) {
      const i = next++
      await db.put(collection, keyOf(i), contentOf(i))
    }
  }
  await Promise.all(Array.from({ length: clients }, client))
  return count
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!
}

const perMember = ({ count, cpuMs }: Spent) => (cpuMs * 1000) / count
const rate = ({ count, wallMs }: Spent) => (count * 1000) / wallMs

async function puts(db: Database): Promise<void> {
  const spent = new Map<string, Spent[]>(kinds.map(([name]) => [name, []]))
  for (const [name, on] of kinds) await db.setSettings(name, { ...noSettings, indexes: parseIndexes(on) })
  for (let round = 0; round < rounds; round++) {
    for (const [name] of kinds) {
      spent.get(name)!.push(await spending(() => putMany(db, name, round * putsOfRound, putsOfRound)))
    }
  }
  // The same keys again, with other values: the former entries go.
  for (const [name] of kinds) {
    const changed = await spending(async () => {
      for (let i = 0; i < putsOfRound; i += clients) {
        const some = Array.from({ length: clients }, (_, n) => i + n)
        await Promise.all(some.map((one) => db.put(name, keyOf(one), contentOf(one + 1))))
      }
      return putsOfRound
    })
    console.log(
      `put over another value, ${name} indexed: ${perMember(changed).toFixed(1)} µs of processor time`,
    )
  }
  const plain = median(spent.get('none')!.map(rate))
  for (const [name, all] of spent) {
    const median_ = median(all.map(rate))
    const cpu = median(all.map(perMember))
    console.log(
      `put, ${name} indexed: ${Math.round(median_)} a second, ${(median_ / plain).toFixed(2)} of none; ${cpu.toFixed(1)} µs of processor time`,
    )
  }
}

async function fill(db: Database): Promise<void> {
  for (let from = 0; from < members; from += 1000) {
    const part = Array.from({ length: Math.min(1000, members - from) }, (_, n) => from + n)
    await db.putAll(
      'cities',
      part.map((i) => ({ key: keyOf(i), ...contentOf(i) })),
    )
  }
}

/** Lets clients write until `work` has ended, and returns what they wrote. */
async function writingDuring(db: Database, work: () => Promise<void>): Promise<Spent> {
  let hasEnded = false
  let written = 0
  async function client(at: number): Promise<void> {
    for (let i = at; !hasEnded; i = (i + 7919) % members) {
      await db.put('cities', keyOf(i), contentOf(i + written))
      written++
    }
  }
  return spending(async () => {
    const running = Array.from({ length: clients }, (_, i) => client(i))
    await work()
    hasEnded = true
    await Promise.all(running)
    return written
  })
}

async function build(db: Database): Promise<void> {
  await fill(db)
  const before = await writingDuring(db, () => Bun.sleep(5000))
  const during = await writingDuring(db, async () => {
    await db.setSettings('cities', { ...noSettings, indexes: parseIndexes([byCountry]) })
    while (db.indexesOf('cities')[0]!.state !== 'ready') await Bun.sleep(20)
  })
  const after = await writingDuring(db, () => Bun.sleep(5000))
  const [without, meanwhile, indexed] = [before, during, after].map(rate)
  console.log(
    `an index over ${members} members is built in ${(during.wallMs / 1000).toFixed(1)} s, while ${clients} clients write ` +
      `${Math.round(meanwhile!)} a second: ${(meanwhile! / indexed!).toFixed(2)} of their rate once it is built, ` +
      `${(meanwhile! / without!).toFixed(2)} of that without the index`,
  )
}

async function buildAlone(db: Database): Promise<void> {
  const spent = await spending(async () => {
    await db.setSettings('cities', { ...noSettings, indexes: parseIndexes([byCountry, byName]) })
    while (db.indexesOf('cities').some(({ state }) => state !== 'ready')) await Bun.sleep(20)
    return members
  })
  console.log(
    `an index over ${members} members is built in ${(spent.wallMs / 1000).toFixed(1)} s while nobody writes`,
  )
}

async function pages(db: Database): Promise<void> {
  const query = {
    ...{ ...everything, order: parseFindOrder('@.population'), limit: 100, cursor: null },
    ...{ keysOnly: false, fields: null, count: false },
  }
  const byKey: Spent[] = []
  const byIndex: Spent[] = []
  const times = 2000
  for (let round = 0; round < rounds; round++) {
    byKey.push(
      await spending(async () => {
        for (let i = 0; i < times; i++)
          await db.page('cities', { ...wholeCollection, limit: 100, from: keyOf((i * 7919) % members) })
        return times
      }),
    )
    byIndex.push(
      await spending(async () => {
        for (let i = 0; i < times; i++) {
          const where = parseWhere(
            `@.country == "${countries[i % 7]}" && @.population >= ${(i * 7919) % 9_000_000}`,
          )
          await db.find('cities', { ...query, where })
        }
        return times
      }),
    )
  }
  const [key, ordered] = [byKey, byIndex].map((all) => median(all.map(perMember)))
  console.log(
    `a page of 100 by key takes ${Math.round(key!)} µs of processor time, by an index ${Math.round(ordered!)}: ${(ordered! / key!).toFixed(2)}`,
  )
}

const dir = mkdtempSync(join(tmpdir(), 'kvist-bench-indexes-'))
const db = await open(dir)
try {
  await puts(db)
  await build(db)
  await pages(db)
  await buildAlone(db)
} finally {
  await db.close()
  rmSync(dir, { recursive: true, force: true })
}
