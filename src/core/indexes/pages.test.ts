import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { openMemory } from '../../engines/memory/engine.ts'
import { compareJson } from '../../jsonpath/compare.ts'
import { fieldOf } from '../../jsonpath/fields.ts'
import { compareKeys } from '../keys.ts'
import { type Index, indexOf, parseIndexes } from './definition.ts'
import { entryOf } from './entries.ts'
import { putOfEntry } from './entry-writes.ts'
import { afterEntry, type EntryQuery, indexEntries } from './pages.ts'

/** Values of every kind that are equal, close, or long enough to be truncated. */
const value = fc.oneof(
  fc.constantFrom(
    'null',
    'true',
    'false',
    '0',
    '-0.0',
    '1',
    '1e0',
    '10',
    '-10',
    '1e1',
    '[]',
    '{}',
    '[1]',
    '"a"',
    '"\\u0061"',
  ),
  fc.bigInt({ min: -1000n, max: 1000n }).map((digits) => `${digits}e-2`),
  fc.string({ unit: 'binary', maxLength: 4 }).map((text) => JSON.stringify(text)),
  fc.nat(3).map((n) => JSON.stringify(`${'long'.repeat(60)}${n}`)),
  fc.json({ maxDepth: 1 }),
)
const document = fc.record({ a: fc.option(value), b: fc.option(value) }).map(({ a, b }) => {
  const fields = [...(a === null ? [] : [`"a":${a}`]), ...(b === null ? [] : [`"b":${b}`])]
  return `{${fields.join(',')}}`
})

async function stored(index: Index, documents: readonly string[]) {
  const engine = openMemory({ onCommit() {} })
  const writes = documents.map((text, i) => {
    const of = { collection: 'c', key: `k${i}` }
    return putOfEntry({ index, of, entry: entryOf(index, of.key, text), ifDone: undefined })
  })
  await engine.commit({ checks: [], writes, nowMs: 1 })
  return engine
}

async function all(
  engine: Awaited<ReturnType<typeof stored>>,
  index: Index,
  query: Omit<EntryQuery, 'after' | 'limit'>,
) {
  const entries = []
  let after: string | null = null
  do {
    const page = await indexEntries(engine, index, { ...query, after, limit: 3 })
    expect(page.entries.length).toBeLessThanOrEqual(3)
    entries.push(...page.entries)
    // Both are where the next page begins.
    const last = page.entries.at(-1)
    after = page.next === null || last === undefined ? page.next : afterEntry(last, query.reverse)
  } while (after !== null)
  return entries
}

test('pages are in the order of the values, forwards and backwards', async () => {
  const [definition] = parseIndexes([{ name: 'i', on: ['@.a', '@.b'] }])
  const index = indexOf('c', definition!)
  const fieldsOf = (text: string) => index.on.map((field) => fieldOf(text, field))
  await fc.assert(
    fc.asyncProperty(fc.array(document, { maxLength: 12 }), fc.boolean(), async (documents, reverse) => {
      const entries = await all(await stored(index, documents), index, { reverse })
      expect(entries.map(({ memberKey }) => memberKey).toSorted(compareKeys)).toEqual(
        documents.map((_, i) => `k${i}`).toSorted(compareKeys),
      )
      for (const [i, entry] of entries.entries()) {
        const next = entries[i + 1]
        if (next === undefined || (entry.run !== null && entry.run === next.run)) continue
        const [one, other] = [entry, next].map(({ memberKey }) =>
          fieldsOf(documents[Number(memberKey.slice(1))]!),
        )
        const order = compareJson(one![0], other![0]) || compareJson(one![1], other![1])
        if (order === 0) expect(compareKeys(entry.memberKey, next.memberKey)).toBe(reverse ? 1 : -1)
        else expect(order > 0).toBe(reverse)
      }
    }),
    { numRuns: 300 },
  )
})

test('bounds select the values that they say, and more only where values are truncated', async () => {
  const [definition] = parseIndexes([{ name: 'i', on: ['@.a'] }])
  const index = indexOf('c', definition!)
  const bound = fc.record({ value: fc.option(value, { nil: undefined }), isInclusive: fc.boolean() })
  await fc.assert(
    fc.asyncProperty(
      fc.array(document, { maxLength: 12 }),
      fc.option(bound, { nil: undefined }),
      fc.option(bound, { nil: undefined }),
      fc.boolean(),
      async (documents, low, high, reverse) => {
        const toBound = (one: typeof low) =>
          one === undefined ? undefined : { values: [one.value], isInclusive: one.isInclusive }
        const [lowBound, highBound] = [toBound(low), toBound(high)]
        const entries = await all(await stored(index, documents), index, {
          ...(lowBound === undefined ? {} : { low: lowBound }),
          ...(highBound === undefined ? {} : { high: highBound }),
          reverse,
        })
        const isWithin = (text: string) => {
          const own = fieldOf(text, index.on[0]!)
          const [fromLow, fromHigh] = [low, high].map((one) =>
            one === undefined ? null : compareJson(own, one.value),
          )
          return (
            (fromLow === null || fromLow! > 0 || (fromLow === 0 && low!.isInclusive)) &&
            (fromHigh === null || fromHigh! < 0 || (fromHigh === 0 && high!.isInclusive))
          )
        }
        const expected = documents.flatMap((text, i) => (isWithin(text) ? [`k${i}`] : []))
        const found = entries.filter(({ run }) => run === null).map(({ memberKey }) => memberKey)
        for (const key of expected) expect(entries.map(({ memberKey }) => memberKey)).toContain(key)
        for (const key of found) expect(expected).toContain(key)
      },
    ),
    { numRuns: 300 },
  )
})
