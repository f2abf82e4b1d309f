import { expect, test } from 'bun:test'
import { random, seedOfRun } from '../../../../test/support/random.ts'
import { type Cursor, sortedStrings } from './sorted.ts'

/** The strings of a walk: its cursors merged, and each run of theirs in order. */
function walk(cursors: readonly Cursor[]): string[] {
  return cursors.flatMap(({ run, at, end, step }) => {
    const own: string[] = []
    for (let i = at; i !== end; i += step) own.push(run[i]!)
    expect(own).toEqual(step === 1 ? own.toSorted() : own.toSorted().toReversed())
    return own
  })
}

test('walks have the strings within their bounds, whatever the order and number they came in', () => {
  const r = random(seedOfRun())
  for (const count of [0, 1, 2, 511, 512, 513, 1024, 5000]) {
    for (const order of ['random', 'rising', 'falling'] as const) {
      const strings = Array.from({ length: count }, (_, i) => `${r.int(1e6)}-${i}`)
      if (order !== 'random') strings.sort()
      if (order === 'falling') strings.reverse()
      const sorted = sortedStrings()
      const bounds = [null, '', ...Array.from({ length: 6 }, () => strings[r.int(count)] ?? 'x'), '9']
      for (const [i, text] of strings.entries()) {
        sorted.insert(text)
        if (r.int(count) > 3 && i < count - 1) continue
        const from = r.pick(bounds)
        const to = r.pick(bounds)
        const within = strings
          .slice(0, i + 1)
          .filter((one) => (from === null || one >= from) && (to === null || one < to))
          .toSorted()
        expect(walk(sorted.cursors(from, to, 'asc')).toSorted()).toEqual(within)
        expect(walk(sorted.cursors(from, to, 'desc')).toSorted()).toEqual(within)
      }
      expect(walk(sorted.cursors(null, null, 'asc'))).toHaveLength(count)
    }
  }
})

test('a walk goes on over what it began with while strings come in', () => {
  const sorted = sortedStrings()
  for (let i = 0; i < 700; i++) sorted.insert(`a${i}`)
  const cursors = sorted.cursors(null, null, 'asc')
  for (let i = 0; i < 2000; i++) sorted.insert(`b${i}`)
  sorted.cursors('b', null, 'asc')
  expect(walk(cursors)).toHaveLength(700)
})

/** How often strings were compared; each comparison reads two. */
let reads = 0

/** A string whose reads are counted. */
function counted(text: string): string {
  const object = {
    toString() {
      reads++
      return text
    },
  }
  return object as unknown as string
}

test('no insert merges many strings, and few runs wait to be merged', () => {
  const r = random(seedOfRun())
  const sorted = sortedStrings()
  const count = 60_000
  let most = 0
  let longest = 0
  for (let i = 0; i < count; i++) {
    const before = reads
    sorted.insert(counted(`${r.int(1e9)}`))
    longest = Math.max(longest, reads - before)
    if (i % 1000 === 999) most = Math.max(most, sorted.cursors(null, null, 'asc').length)
  }
  // A run of 512 is sorted, and 1,024 strings are merged. To merge all runs at once would read more than 100,000.
  expect(longest).toBeLessThan(5000)
  expect(most).toBeLessThan(24)
  const strings = sorted.cursors(null, null, 'asc').reduce((sum, { at, end }) => sum + end - at, 0)
  expect(strings).toBe(count)
})
