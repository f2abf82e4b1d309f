import { expect } from 'bun:test'
import type { ChangesScope, ScanRange } from '../../core/engine.ts'
import type { Change } from '../../core/member.ts'
import { collection, put, remove, type Store, type Suite, write } from './store.ts'

/** Pages are limited by the bytes of their values. */

/** Sizes of the values, in the order of their keys and of their changes. */
const sizes = [10, 20_000, 10, 10, 300_000, 20_000, 10]
const fewBytes = 15_000
const enoughBytes = 300_000

/** Short enough for a row of SQLite; each of its characters has two bytes. */
const wideText = `"${'ü'.repeat(700)}"`
const wideKeys = ['a', 'b', 'c']

async function putSizes(store: Store, from: number, to: number): Promise<void> {
  for (let i = from; i < to; i++) await write(store, put(`k${i}`, new Uint8Array(sizes[i]!)))
}

/** The limit of the next page: `fewBytes`, or `enoughBytes` after a page that had no room for its first value. */
function nextBytes(page: { readonly isCut: boolean }, count: number): number {
  return page.isCut && count === 0 ? enoughBytes : fewBytes
}

function valueBytes(change: Change): number {
  return change.type === 'put' ? change.member.value.length : 0
}

export function pageBytePromises({ phaseTest }: Suite): void {
  phaseTest(
    'a page of members ends before a value that does not fit, be it the first, and goes on with it',
    [(store) => putSizes(store, 0, 3), (store) => putSizes(store, 3, sizes.length)],
    async (store) => {
      for (const order of ['asc', 'desc'] as const) {
        const found: number[] = []
        let range: ScanRange = { collection, from: null, to: null, order, limit: 100, keysOnly: false }
        let maxBytes = fewBytes
        for (let pages = 0; pages < 20; pages++) {
          const page = await store.engine.scan({ ...range, maxBytes })
          const lengths = page.members.map(({ value }) => value.length)
          expect(lengths.reduce((sum, length) => sum + length, 0)).toBeLessThanOrEqual(maxBytes)
          found.push(...lengths)
          maxBytes = nextBytes(page, lengths.length)
          const { next } = page
          if (next === null) break
          range = order === 'asc' ? { ...range, from: next } : { ...range, to: next }
        }
        expect(found).toEqual(order === 'asc' ? sizes : sizes.toReversed())
      }
      const keys = { from: null, to: null, order: 'asc', limit: 100, keysOnly: true, maxBytes: 0 } as const
      const page = await store.engine.scan({ collection, ...keys })
      expect([page.members.length, page.next, page.isCut]).toEqual([sizes.length, null, false])
    },
  )

  phaseTest(
    'a page of text is measured in bytes, not in characters',
    [(store) => write(store, ...wideKeys.map((key) => put(key, wideText)))],
    async ({ engine }) => {
      const range = { collection, from: null, to: null, order: 'asc', limit: 100, keysOnly: false } as const
      const page = await engine.scan({ ...range, maxBytes: 2 * wideText.length })
      expect(page).toMatchObject({ members: [{ key: 'a' }], isCut: true })
      const rest = await engine.scan({ ...range, from: page.next })
      expect(rest.members.map(({ key }) => key)).toEqual(['b', 'c'])
      const { changes } = await engine.changes('', 100, { collection }, 2 * wideText.length)
      expect(changes).toMatchObject([{ member: { key: 'a' } }])
    },
  )

  phaseTest(
    'a page of the feed ends before a value that does not fit, be it the first, and goes on with it',
    [
      (store) => putSizes(store, 0, 3),
      (store) => putSizes(store, 3, sizes.length),
      (store) => write(store, put('gone'), remove('gone')),
    ],
    async (store) => {
      const scopes: (ChangesScope | undefined)[] = [undefined, { collection }]
      for (const scope of scopes) {
        expect(await changeSizes(store, scope)).toEqual([...sizes, 0])
      }
      expect(await changeSizes(store, { collection, key: 'k4' })).toEqual([300_000])
      expect(await changeSizes(store, { collection, key: 'k2' })).toEqual([10])
    },
  )
}

async function changeSizes({ engine }: Store, scope: ChangesScope | undefined): Promise<number[]> {
  const found: number[] = []
  let cursor = ''
  let maxBytes = fewBytes
  for (let pages = 0; pages < 40; pages++) {
    const page = await engine.changes(cursor, 100, scope, maxBytes)
    const bytes = page.changes.map(valueBytes)
    expect(bytes.reduce((sum, length) => sum + length, 0)).toBeLessThanOrEqual(maxBytes)
    found.push(...bytes)
    cursor = page.next
    if (page.atEnd) return found
    maxBytes = nextBytes(page, bytes.length)
  }
  throw new Error('the feed went on for forty pages')
}
