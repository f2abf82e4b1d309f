import { expect } from 'bun:test'
import { faults } from './soak/all.ts'
import { needing } from './support/needs.ts'
import { random, seedOfRun } from './support/random.ts'

/** A short round of each fault; `npm run soak` goes on for as long as its option says. */

const seed = seedOfRun()

for (const { name, does, needs, round } of faults) {
  needing(...(needs === undefined ? [] : [needs])).test(`${name}: ${does}`, async () => {
    const figures = await round({ random: random(seed), budgetMs: 500 })
    expect(Math.max(...Object.values(figures))).toBeGreaterThan(0)
  })
}
