import { expect } from 'bun:test'
import { stepLimit } from '../../../test/support/steps.ts'
import { maxKeyBytes, maxPageBytes } from '../../core/limits.ts'
import {
  collection,
  nextTick,
  type PutOptions,
  put,
  type RangeOptions,
  read,
  remove,
  type Store,
  type Suite,
  scanAll,
  write,
} from './store.ts'

/** Keys in the order of their UTF-8 bytes, with those that sort differently by UTF-16, by locale or as C strings. */
const keys = [
  '\0',
  '\0a',
  ' ',
  '%2F',
  '/',
  '0',
  'A',
  '_',
  'a',
  'a\0',
  'a\0b',
  'a b',
  'a/',
  'a//b',
  'a/b',
  'aa',
  'aé',
  'k'.repeat(maxKeyBytes - 1),
  'k'.repeat(maxKeyBytes),
  'k'.repeat(maxKeyBytes - 1).concat('l'),
  '\x7f',
  '\x80',
  'e\u0301',
  'é',
  'é'.repeat(maxKeyBytes / 2),
  '߿',
  'ࠀ',
  '日本',
  '\ue000',
  '\ufeffmark',
  '\ufffd',
  '\ufffe',
  '\uffff',
  '\u{10000}',
  '\u{1f600}',
  '\u{1f600}'.repeat(maxKeyBytes / 4),
  '\u{10ffff}',
].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))

/** Two halves of the keys: written with a restart in between, they are in different structures of the engine. */
const odd = keys.filter((_, i) => i % 2 === 1)
const even = keys.filter((_, i) => i % 2 === 0)

function ownValue(key: string): string {
  return JSON.stringify(key)
}

function putAll(of: readonly string[], options: PutOptions = {}) {
  return (store: Store) => write(store, ...of.toReversed().map((key) => put(key, ownValue(key), options)))
}

async function scannedKeys(store: Store, options: RangeOptions = {}): Promise<string[]> {
  return (await scanAll(store, options)).map(({ key }) => key)
}

/** The identity and order of keys, and the results of scans. */
export function keyPromises({ storeTest, phaseTest }: Suite): void {
  phaseTest('every key is its own, byte for byte', [putAll(odd), putAll(even)], async (store) => {
    for (const key of keys) expect(await read(store, key)).toMatchObject({ key, value: ownValue(key) })
    const members = await store.engine.readMany(keys.toReversed().map((key) => ({ collection, key })))
    expect(members.map((member) => member?.key)).toEqual(keys.toReversed())
  })

  phaseTest(
    'a scan goes by the bytes of the keys, either way',
    [putAll(odd), putAll(even)],
    async (store) => {
      const members = await scanAll(store)
      expect(members.map(({ key }) => key)).toEqual(keys)
      expect(members.map(({ value }) => value)).toEqual(keys.map(ownValue))
      expect(await scannedKeys(store, { order: 'desc' })).toEqual(keys.toReversed())
    },
  )

  phaseTest(
    'a scan keeps to its bounds: from is in, to is not',
    [putAll(odd), putAll(even)],
    async (store) => {
      const bounds = [null, '', ...keys.filter((_, i) => i % 3 === 0), 'a!', 'zz', '\u{10fffe}']
      for (const from of bounds) {
        for (const to of bounds) {
          const within = keys.filter((key) => isWithin(key, from, to))
          expect(await scannedKeys(store, { from, to })).toEqual(within)
          expect(await scannedKeys(store, { from, to, order: 'desc' })).toEqual(within.toReversed())
        }
      }
    },
  )

  phaseTest('pages of any size say where to go on', [putAll(odd), putAll(even)], async (store) => {
    for (const limit of [1, 2, 5, keys.length - 1, keys.length, keys.length + 1]) {
      for (const order of ['asc', 'desc'] as const) {
        const expected = keys.filter((key) => isWithin(key, 'a', '\u{10000}'))
        const found = await scannedKeys(store, { from: 'a', to: '\u{10000}', order, limit })
        expect(found).toEqual(order === 'asc' ? expected : expected.toReversed())
      }
    }
    const range = {
      collection,
      from: null,
      to: null,
      order: 'asc',
      limit: keys.length,
      keysOnly: false,
    } as const
    expect((await store.engine.scan(range)).next).toBeNull()
  })

  phaseTest(
    'a scan for keys alone leaves the values out and nothing else',
    [putAll(odd, { flags: 3 }), (store) => write(store, ...even.map((key) => put(key, Buffer.from(key))))],
    async (store) => {
      const whole = await scanAll(store)
      const bare = await scanAll(store, { keysOnly: true })
      expect(bare.every(({ value }) => value.length === 0)).toBe(true)
      expect(bare.map(({ value, ...rest }) => rest)).toEqual(whole.map(({ value, ...rest }) => rest))
    },
  )

  phaseTest(
    'a scan shows the newest of what was overwritten, and nothing of what was deleted',
    [
      putAll(keys),
      (store) => write(store, ...odd.map((key) => remove(key)), ...even.map((key) => put(key, '"new"'))),
    ],
    async (store) => {
      const members = await scanAll(store, { limit: 3 })
      expect(members.map(({ key, value }) => [key, value])).toEqual(even.map((key) => [key, '"new"']))
      expect(await scannedKeys(store, { limit: 3, order: 'desc' })).toEqual(even.toReversed())
    },
  )

  phaseTest(
    'a scan shows a member once that was deleted and put again',
    [putAll(keys), (store) => write(store, ...keys.map((key) => remove(key))), putAll(keys), putAll(odd)],
    async (store) => {
      expect(await scannedKeys(store, { limit: 3 })).toEqual(keys)
      expect(await scannedKeys(store, { limit: 4, order: 'desc' })).toEqual(keys.toReversed())
      expect(await store.engine.collections()).toMatchObject([{ members: keys.length }])
    },
  )

  phaseTest(
    'a scan gets past many deleted members',
    [
      (store) => write(store, ...numberedKeys(4000).map((key) => put(key))),
      (store) =>
        write(
          store,
          ...numberedKeys(4000)
            .slice(10, -10)
            .map((key) => remove(key)),
        ),
    ],
    async (store) => {
      const left = [...numberedKeys(4000).slice(0, 10), ...numberedKeys(4000).slice(-10)]
      expect(await scannedKeys(store, { limit: 7 })).toEqual(left)
      expect(await scannedKeys(store, { limit: 7, order: 'desc' })).toEqual(left.toReversed())
      expect(await scannedKeys(store, { limit: 7, from: 'n00010', to: 'n03990' })).toEqual([])
    },
  )

  const names = ['a', 'a.', 'a:b', 'a%2Fb', 'aa', '{a}', 'b', 'é', '\u{1f600}']
  phaseTest(
    'collections with like names do not see each other',
    names.map(
      (name) => (store: Store) =>
        write(store, put(name, ownValue(name), { collection: name }), put('k', '1', { collection: name })),
    ),
    async (store) => {
      for (const name of names) {
        const scanned = await scanAll(store, { collection: name })
        expect(scanned.map(({ key }) => key).toSorted()).toEqual([name, 'k'].toSorted())
        expect(await read(store, name, name)).toMatchObject({ value: ownValue(name) })
      }
      expect(await scannedKeys(store, { collection: 'a:' })).toEqual([])
      const stats = await store.engine.collections()
      expect(stats.map(({ name }) => name).toSorted()).toEqual(names.toSorted())
    },
  )

  storeTest('a page of large values ends early', async (store) => {
    await writeLarge(store, 0, 12)
    await store.reopen()
    await writeLarge(store, 12, 24)
    const range = { collection, from: null, to: null, order: 'desc', limit: 100, keysOnly: false } as const
    const { members, next } = await store.engine.scan(range)
    const bytes = members.reduce((sum, { value }) => sum + value.length, 0)
    expect(bytes).toBeLessThan(maxPageBytes + 2 * largeBytes)
    expect(next).not.toBeNull()
    expect(await scannedKeys(store, { order: 'desc', limit: 100 })).toEqual(numberedKeys(24).toReversed())
  })

  storeTest('a scan by pages meets every member that was there all the time, once', async (store) => {
    const steady = numberedKeys(400)
    for (let i = 0; i < steady.length; i += 100) {
      await write(store, ...steady.slice(i, i + 100).map((key) => put(key)))
    }
    let running = true
    async function churn(): Promise<void> {
      for (let i = 0; running; i++) {
        const key = `${steady[(i * 37) % 400]}-between`
        await write(store, put(key), put(steady[(i * 61) % 400]!, String(i)))
        if (i % 3 === 0) await write(store, remove(key))
        await nextTick()
      }
    }
    const churning = churn()
    for (let round = 0; round < 20; round++) {
      const order = round % 2 === 0 ? 'asc' : 'desc'
      const found: string[] = []
      let bound: string | null = null
      for (const step = stepLimit('scanning all keys'); ; step()) {
        const sides: RangeOptions = order === 'asc' ? { from: bound } : { to: bound }
        const range = {
          collection,
          from: null,
          to: null,
          order,
          limit: 40,
          keysOnly: true,
          ...sides,
        } as const
        const { members, next } = await store.engine.scan(range)
        found.push(...members.map(({ key }) => key))
        await nextTick()
        if (next === null) break
        bound = next
      }
      const expected = order === 'asc' ? steady : steady.toReversed()
      expect(found.filter((key) => !key.endsWith('-between'))).toEqual(expected)
      expect(new Set(found).size).toBe(found.length)
    }
    running = false
    await churning
  })
}

function isWithin(key: string, from: string | null, to: string | null): boolean {
  const bytes = Buffer.from(key)
  return (
    (from === null || Buffer.compare(bytes, Buffer.from(from)) >= 0) &&
    (to === null || Buffer.compare(bytes, Buffer.from(to)) < 0)
  )
}

function numberedKeys(count: number): string[] {
  return Array.from({ length: count }, (_, i) => `n${String(i).padStart(5, '0')}`)
}

const largeBytes = 1024 * 1024

async function writeLarge(store: Store, from: number, to: number): Promise<void> {
  for (const key of numberedKeys(to).slice(from)) await write(store, put(key, new Uint8Array(largeBytes)))
}
