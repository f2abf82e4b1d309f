/**
 * Injects every kind of fault into servers for the given time: `npm run soak -- --minutes 30 --only kills,disk --seed
 * 7`. Each fault gets a share of the time, in rounds; each round prints its seed first, then its figures. The first
 * error ends the run with exit code 1.
 */
import { parseArgs } from 'node:util'
import { faults } from '../test/soak/all.ts'
import type { Figures } from '../test/soak/fault.ts'
import { random } from '../test/support/random.ts'

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' },
    only: { type: 'string', default: faults.map(({ name }) => name).join(',') },
    seed: { type: 'string', default: String(crypto.getRandomValues(new Uint32Array(1))[0]) },
  },
})
const names = values.only.split(',')
const unknown = names.find((name) => !faults.some((fault) => fault.name === name))
const minutes = Number(values.minutes)
let seed = Number(values.seed)
if (unknown !== undefined)
  refuse(`there is no fault ${unknown}: ${faults.map(({ name }) => name).join(', ')}`)
if (!(minutes > 0)) refuse(`--minutes ${values.minutes} is not a number of minutes`)
if (!Number.isSafeInteger(seed)) refuse(`--seed ${values.seed} is not a whole number`)

const chosen = faults.filter(({ name }) => names.includes(name))
const endAtMs = performance.now() + minutes * 60_000
const roundMs = Math.min(60_000, (minutes * 60_000) / chosen.length)
const totals = new Map<string, Record<string, number>>()
while (performance.now() < endAtMs) {
  for (const fault of chosen) {
    console.log(`${fault.name}: seed ${seed}`)
    const budgetMs = Math.max(1000, Math.min(roundMs, endAtMs - performance.now()))
    add(fault.name, await fault.round({ random: random(seed), budgetMs }))
    seed = (seed + 1) % 2 ** 32
    if (performance.now() >= endAtMs) break
  }
}
for (const [name, counted] of totals) console.log(`${name}: ${lineOf(counted)}; nothing wrong`)

function add(name: string, figures: Figures): void {
  const counted = totals.get(name) ?? {}
  totals.set(name, counted)
  for (const [figure, count] of Object.entries(figures)) counted[figure] = (counted[figure] ?? 0) + count
  console.log(`${name}: ${lineOf(figures)}`)
}

function lineOf(figures: Figures): string {
  return Object.entries(figures)
    .map(([name, count]) => `${count} ${name}`)
    .join(', ')
}

function refuse(what: string): never {
  console.error(`soak: ${what}`)
  process.exit(2)
}
