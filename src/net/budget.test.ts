import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { random, seedOfRun } from '../../test/support/random.ts'
import { MemoryBudget, type Share } from './budget.ts'

/** A share that has asked to grow, and whether it was granted. */
function asked(budget: MemoryBudget, bytes: number) {
  const share = budget.share()
  const state = { share, isGranted: false }
  const waits = share.grow(bytes)
  if (waits === undefined) state.isGranted = true
  else
    waits.then(
      () => (state.isGranted = true),
      () => {},
    )
  return state
}

async function settle(): Promise<void> {
  await Bun.sleep(0)
}

describe('a budget', () => {
  test('grants what fits at once, and one share more', async () => {
    const budget = new MemoryBudget(100)
    const [a, b, c, d] = [60, 40, 30, 1].map((bytes) => asked(budget, bytes))
    // The third passes the limit; nobody else does until it is done.
    expect([a, b, c, d].map((one) => one!.isGranted)).toEqual([true, true, true, false])
    expect([budget.usedBytes, budget.waiting, budget.hasRoom(0)]).toEqual([130, 1, false])
    c!.share.release()
    await settle()
    expect([d!.isGranted, budget.usedBytes, budget.waiting]).toEqual([true, 101, 0])
  })

  test('serves the oldest first, whatever would fit', async () => {
    const budget = new MemoryBudget(100)
    const first = asked(budget, 100)
    const over = asked(budget, 50)
    const large = asked(budget, 80)
    const small = asked(budget, 10)
    over.share.release()
    await settle()
    // The large one may pass the limit, and the small one fits only behind it.
    expect([large.isGranted, small.isGranted]).toEqual([true, false])
    first.share.release()
    await settle()
    expect([small.isGranted, budget.usedBytes]).toEqual([true, 90])
  })

  test('lets an old share grow before younger ones begin', async () => {
    const budget = new MemoryBudget(100)
    const old = asked(budget, 50)
    const other = asked(budget, 50)
    const over = asked(budget, 10)
    const young = asked(budget, 20)
    let hasGrown = false
    old.share.grow(30)!.then(() => (hasGrown = true))
    over.share.release()
    await settle()
    expect([hasGrown, young.isGranted]).toEqual([true, false])
    other.share.release()
    await settle()
    expect([young.isGranted, budget.usedBytes]).toEqual([true, 100])
  })

  test('does not let shares wait for each other for ever', async () => {
    const budget = new MemoryBudget(100)
    const [a, b] = [asked(budget, 50), asked(budget, 50)]
    let done = 0
    const grown = async (share: Share) => {
      await share.grow(40)
      share.release()
      done++
    }
    await Promise.all([grown(b.share), grown(a.share)])
    expect([done, budget.usedBytes]).toEqual([2, 0])
  })

  test('grants a need that is larger than itself', () => {
    const budget = new MemoryBudget(10)
    expect(asked(budget, 50).isGranted).toBe(true)
    expect(asked(budget, 1).isGranted).toBe(false)
  })

  test('forgets a share that is cancelled, and serves the next', async () => {
    const budget = new MemoryBudget(100)
    asked(budget, 100)
    const over = asked(budget, 1)
    const [gone, next] = [asked(budget, 5), asked(budget, 6)]
    gone.share.cancel(new Error('gone'))
    gone.share.cancel(new Error('again'))
    gone.share.release()
    over.share.release()
    await settle()
    expect([gone.isGranted, next.isGranted, budget.usedBytes]).toEqual([false, true, 106])
    const waiting = budget.share()
    const waits = waiting.grow(1)
    waiting.cancel(new Error('gone'))
    expect(waits).rejects.toThrow('gone')
  })

  test('gives room back that was not needed', async () => {
    const budget = new MemoryBudget(100)
    const first = asked(budget, 100)
    asked(budget, 100)
    const third = asked(budget, 30)
    first.share.resize(10)
    await settle()
    expect([third.isGranted, budget.usedBytes]).toEqual([false, 110])
    first.share.resize(0)
    await settle()
    expect([third.isGranted, budget.usedBytes]).toEqual([true, 130])
  })
})

test('any shares that grow in steps all finish, within the limit and one need', async () => {
  const needs = fc.array(fc.array(fc.nat(60), { minLength: 1, maxLength: 5 }), { maxLength: 30, size: 'max' })
  await fc.assert(
    fc.asyncProperty(needs, fc.nat(), async (all, seed) => {
      const rng = random(seed)
      const budget = new MemoryBudget(100)
      const largest = Math.max(0, ...all.map((steps) => steps.reduce((sum, step) => sum + step, 0)))
      let most = 0
      let held = 0
      await Promise.all(
        all.map(async (steps) => {
          const share = budget.share()
          for (const step of steps) {
            await share.grow(step)
            held += step
            most = Math.max(most, budget.usedBytes)
            expect(budget.usedBytes).toBeGreaterThanOrEqual(held)
            for (let ticks = rng.int(3); ticks > 0; ticks--) await Promise.resolve()
          }
          held -= share.bytes
          share.release()
        }),
      )
      expect([budget.usedBytes, budget.waiting]).toEqual([0, 0])
      expect(most).toBeLessThanOrEqual(100 + largest)
    }),
    { seed: seedOfRun(), numRuns: 300 },
  )
})
