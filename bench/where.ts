/**
 * Measures what filters cost, in this process and by processor time: the matcher alone on the text of a value, beside
 * `JSON.parse` with the same test in JavaScript, and pages of a filtered scan of a store on SQLite. The quickest of the
 * rounds counts, because other work on the machine only adds. `--help` lists the options.
 */
import { join, resolve } from 'node:path'
import type { Put } from '../src/core/engine.ts'
import { parseWhere } from '../src/core/find/expressions.ts'
import { findPage } from '../src/core/find/find.ts'
import { everything } from '../src/core/list.ts'
import { openSqlite } from '../src/engines/sqlite/engine.ts'
import { fieldOf, parseField } from '../src/jsonpath/fields.ts'
import { matcher, parseFilter } from '../src/jsonpath/filter.ts'
import { chooseOptions, whereOptions } from './options.ts'
import { removeFolder } from './process.ts'

const filters = [
  '@.country == "SE" && @.population >= 100000',
  '@.population >= 100000',
  '@.nothing == 1',
  'search(@.name, "[0-9][a-z]x")',
  'count(@.*) > 5',
  '@[?@ == "SE"]',
  '@..x',
]
const scanned = [filters[0]!, '@.country == "XX"', 'search(@.name, "[0-9][a-z]x")']
const countries = ['SE', 'NO', 'DK', 'FI', 'DE', 'FR', 'US', 'CN', 'IN', 'BR']

const options = chooseOptions(whereOptions)
const rounds = options.number('rounds')
const members = options.number('members')

/** A value of 120 bytes, of which some have characters that take two. */
function cityOf(i: number): string {
  return JSON.stringify({
    country: countries[i % 10],
    name: `City of ${i % 7 === 0 ? 'Malmö ' : ''}${i.toString(36)}`,
    lat: (((i * 7919) % 180_000) / 1000 - 90).toFixed(5),
    lng: (((i * 104_729) % 360_000) / 1000 - 180).toFixed(5),
    population: Math.imul(i, 0x9e3779b1) >>> 12,
    admin1: `0${i % 10}`,
    admin2: '',
  })
}

/** Returns the nanoseconds of processor time for each of `count` things that `work` does, in the quickest round. */
async function quickest(count: number, work: () => unknown): Promise<number> {
  let best = Number.POSITIVE_INFINITY
  for (let round = 0; round < rounds; round++) {
    const before = process.cpuUsage()
    await work()
    const { user, system } = process.cpuUsage(before)
    best = Math.min(best, ((user + system) * 1000) / count)
  }
  return best
}

async function measureText(): Promise<void> {
  // As the engine makes them: decoded, and neither joined nor shared.
  const values = Array.from({ length: 20_000 }, (_, i) => Buffer.from(cityOf(i)).toString())
  const onEach = (test: (value: string) => unknown) =>
    quickest(values.length, () => values.reduce((count, value) => (test(value) ? count + 1 : count), 0))
  console.log(`| ${values[0]!.length} characters of text | ns each |\n| --- | --- |`)
  for (const filter of filters) {
    console.log(`| \`${filter}\` | ${(await onEach(matcher(parseFilter(filter)))).toFixed(0)} |`)
  }
  const field = parseField('@.population')
  console.log(`| the text of a field | ${(await onEach((value) => fieldOf(value, field))).toFixed(0)} |`)
  const parsed = await onEach((value) => {
    const { country, population } = JSON.parse(value) as { country: string; population: number }
    return country === 'SE' && population >= 100_000
  })
  console.log(`| the first filter with JSON.parse | ${parsed.toFixed(0)} |`)
}

async function measureScan(): Promise<void> {
  const dir = join(resolve(options.text('data')), 'where')
  removeFolder(dir)
  const open = () => openSqlite({ dir, durability: 'relaxed', onCommit: () => {} })
  const filling = await open()
  for (let from = 0; from < members; from += 1000) {
    const writes = Array.from({ length: Math.min(1000, members - from) }, (_, i): Put => {
      const key = `key-${String(from + i).padStart(8, '0')}`
      const value = cityOf(from + i)
      return {
        op: 'put',
        collection: 'cities',
        key,
        value,
        contentType: 'application/json',
        flags: 0,
        expiresAtMs: null,
      }
    })
    await filling.commit({ checks: [], writes, nowMs: Date.now() })
  }
  await filling.close()
  const engine = await open()
  const source = { engine, indexesOf: () => [] }
  console.log(
    `\n| scan of ${members} members, pages of 10,000 | ns a member | members a second |\n| --- | --- | --- |`,
  )
  for (const filter of [null, ...scanned]) {
    const where = filter === null ? null : parseWhere(filter)
    const query = {
      ...everything,
      where,
      order: 'asc' as const,
      limit: 10_000,
      keysOnly: false,
      count: false,
      fields: null,
    }
    const ns = await quickest(members, async () => {
      let cursor: string | null = null
      do cursor = (await findPage(source, 'cities', { ...query, cursor }, Date.now())).next
      while (cursor !== null)
    })
    console.log(
      `| ${filter === null ? 'no filter' : `\`${filter}\``} | ${ns.toFixed(0)} | ${Math.round(1e9 / ns)} |`,
    )
  }
  await engine.close()
  removeFolder(dir)
}

await measureText()
await measureScan()
