import { expect, test } from 'bun:test'
import { compareKeys } from './keys.ts'
import { Positions } from './positions.ts'

/** How near the console's list comes to a position of a collection, of which it knows keys only, and how many reads it takes. */

const pageKeys = 60

async function landing(keys: readonly string[], share: number): Promise<{ off: number; probes: number }> {
  const positions = new Positions()
  positions.learn(keys.slice(0, 200))
  positions.learn(keys.slice(-200))
  let probes = 0
  const target = Math.floor(keys.length * share)
  const found = await positions.find(target, keys.length, async (key) => {
    probes++
    const at = indexOf(keys, key)
    return keys.slice(Math.max(0, at - pageKeys), at + pageKeys)
  })
  const off = Math.abs(indexOf(keys, found!.key) - target) / keys.length
  const estimate = positions.positionOf(found!.key, keys.length)
  expect(Math.abs(estimate - target) / keys.length).toBeLessThan(0.02)
  return { off, probes }
}

/** The index of the first key that is not before this one. */
function indexOf(keys: readonly string[], key: string): number {
  let low = 0
  let high = keys.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (compareKeys(keys[middle]!, key) < 0) low = middle + 1
    else high = middle
  }
  return low
}

function sorted(keys: readonly string[]): string[] {
  return [...new Set(keys)].sort(compareKeys)
}

const many = Array.from({ length: 100_000 }, (_, i) => i)
const random = (i: number) => (Math.imul(i, 2654435761) >>> 0) / 2 ** 32

const collections: Readonly<Record<string, { keys: string[]; within: number }>> = {
  'numbers with zeros before them': {
    keys: many.map((i) => `user-${String(i).padStart(6, '0')}`),
    within: 0.02,
  },
  'random hexadecimal': {
    keys: sorted(many.map((i) => `${(random(i) * 2 ** 32).toString(16).padStart(8, '0')}-${i}`)),
    within: 0.06,
  },
  'one key far before and one far after the others': {
    keys: sorted(['a', ...many.map((i) => `u${String(i).padStart(6, '0')}`), 'z']),
    within: 0.06,
  },
  'numbers without zeros before them': { keys: sorted(many.map((i) => `item:${i}`)), within: 0.12 },
  'three folders of very different sizes': {
    keys: sorted(
      many.map(
        (i) =>
          `${i % 100 === 0 ? 'a' : i % 10 < 2 ? 'm' : 'sessions'}/${random(i).toString(36).slice(2, 12)}`,
      ),
    ),
    within: 0.12,
  },
  'letters beyond ASCII': { keys: sorted(many.map((i) => `${'åäöéü漢字😀'.at(i % 7)}${i}`)), within: 0.25 },
}

for (const [name, { keys, within }] of Object.entries(collections)) {
  test(`of ${name} the key at a position is found within some reads`, async () => {
    for (const share of [0.1, 0.5, 0.9]) {
      const { off, probes } = await landing(keys, share)
      expect(off).toBeLessThan(within)
      expect(probes).toBeLessThan(30)
    }
  })
}
