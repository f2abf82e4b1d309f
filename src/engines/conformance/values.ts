import { expect } from 'bun:test'
import { EncodedText, withEncodedText } from '../../core/encoded-text.ts'
import { maxCollectionBytes, maxContentTypeBytes, maxTimeMs, maxValueBytes } from '../../core/limits.ts'
import type { MemberVersion, Value } from '../../core/member.ts'
import {
  changesAfter,
  collection,
  noonMs,
  plainValue,
  put,
  read,
  remove,
  renew,
  type Store,
  type Suite,
  scanAll,
  write,
} from './store.ts'

const texts: Readonly<Record<string, string>> = {
  number: '1.0e0',
  null: 'null',
  'empty string': '""',
  'white space': ' {"a" :\t1,\r\n "a": 2}\n',
  'lone surrogates, escaped': '["\\ud800","\\udc00\\ud800","\\uD83D\\uDE00"]',
  'escaped NUL': '"\\u0000"',
  'Latin 1': '"é"',
  'Latin 1 alone': '"ÿþ\u0080"',
  'below astral': '"\u07ff\u0800\ud7ff\ue000\ufeff\ufffd\uffff"',
  astral: '"\u{10000}\u{1f600}\u{10ffff}"',
  'byte order mark': '"\ufeff"',
  separators: '"\u2028\u2029"',
  'just under 4 KiB': `"${'é'.repeat(2046)}"`,
  '4 KiB of characters': `"${'日'.repeat(4094)}"`,
  'astral across 4 KiB': `"${'\u{1f600}'.repeat(2047)}x"`,
  '100 kB': `"${'aé日\u{1f600}'.repeat(10_000)}"`,
}

const allBytes = Uint8Array.from({ length: 256 }, (_, i) => i)
const byteValues: Readonly<Record<string, Uint8Array>> = {
  'no bytes': new Uint8Array(0),
  'one NUL': new Uint8Array(1),
  'all byte values': allBytes,
  'bytes that are text': Buffer.from('"text"'),
  'bytes of a view': new Uint8Array(allBytes.buffer, 100, 50),
  '100 kB of bytes': Buffer.alloc(100_000, allBytes),
}

const all: Readonly<Record<string, Value>> = { ...texts, ...byteValues }

/** Values, content types and flags are returned as they were written. */
export function valuePromises({ storeTest, phaseTest }: Suite): void {
  const names = Object.keys(all)
  const half = names.length / 2
  phaseTest(
    'values are kept byte for byte, and text stays text',
    [(store) => putValues(store, names.slice(0, half)), (store) => putValues(store, names.slice(half))],
    async (store) => {
      for (const name of names)
        expect(plainValue((await read(store, name))!.value)).toBe(plainValue(all[name]!))
      for (const { key, value } of await scanAll(store)) expect(plainValue(value)).toBe(plainValue(all[key]!))
      const { changes } = await changesAfter(store)
      for (const change of [...changes, ...store.reported]) {
        if (change.type !== 'put') throw new Error(`a ${change.type} in the feed`)
        expect(plainValue(change.member.value)).toBe(plainValue(all[change.member.key]!))
      }
      expect(changes).toHaveLength(names.length)
    },
  )

  phaseTest(
    'a head is the member without its value, with the length of it',
    [
      (store) => write(store, ...names.map((name) => put(name, all[name]!))),
      (store) => write(store, put('z')),
    ],
    async (store) => {
      for (const name of names) {
        const { value, ...rest } = (await read(store, name))!
        const valueBytes = Buffer.byteLength(value)
        expect(await store.engine.readHead(collection, name)).toEqual({ ...rest, valueBytes })
      }
      expect(await store.engine.readHead(collection, 'none')).toBeNull()
      expect(await store.engine.readHead('none', names[0]!)).toBeNull()
    },
  )

  const large: Readonly<Record<string, Value>> = {
    ...all,
    'large text': `"${'aé€😀'.repeat(30_000)}"`,
    'large bytes': Uint8Array.from({ length: 200_001 }, (_, i) => (i * 7) % 251),
  }
  phaseTest(
    'a part of a value is those of its bytes, wherever it begins and ends',
    [
      (store) => write(store, ...Object.entries(large).map(([name, value]) => put(name, value))),
      (store) => write(store, put('z')),
    ],
    async (store) => {
      for (const [name, value] of Object.entries(large)) {
        const head = (await store.engine.readHead(collection, name))!
        const bytes = Buffer.from(value)
        for (const [from, to] of partsOf(bytes.length)) {
          const part = await store.engine.readPart({ collection, key: name }, head, from, to)
          const isRight = part !== null && bytes.subarray(from, to).equals(part)
          expect({ name, from, to, isRight }).toEqual({ name, from, to, isRight: true })
        }
      }
    },
  )

  phaseTest(
    'a part is of one version: of another, a removed or a missing member there is none',
    [
      (store) =>
        write(
          store,
          put('old', '"first"'),
          put('gone', '1'),
          put('renewed', '"kept"', { expiresAtMs: maxTimeMs - 1 }),
        ),
      (store) => write(store, put('z')),
    ],
    async (store) => {
      const { engine } = store
      const part = (key: string, version: MemberVersion) =>
        engine.readPart({ collection, key }, version, 0, 3)
      const [old, gone, renewed] = [
        (await engine.readHead(collection, 'old'))!,
        (await engine.readHead(collection, 'gone'))!,
        (await engine.readHead(collection, 'renewed'))!,
      ]
      const text = async (key: string, version: MemberVersion) =>
        Buffer.from((await part(key, version))!).toString()
      expect(await text('old', old)).toBe('"fi')
      expect(await part('old', { ...old, revision: old.revision + 1 })).toBeNull()
      expect(await part('old', { ...old, clock: old.clock + 1 })).toBeNull()
      expect(await part('none', old)).toBeNull()
      expect(await engine.readPart({ collection: 'none', key: 'old' }, old, 0, 3)).toBeNull()
      const renewal = renew('renewed', renewed.revision, maxTimeMs)
      await write(store, put('old', '"second"'), remove('gone'), renewal)
      expect(await part('old', old)).toBeNull()
      expect(await text('old', (await engine.readHead(collection, 'old'))!)).toBe('"se')
      expect(await part('gone', gone)).toBeNull()
      expect(await text('renewed', renewed)).toBe('"ke')
    },
  )

  storeTest(
    'bytes are kept as they were committed, whatever becomes of the array that they came in',
    async (store) => {
      const bytes = Uint8Array.from({ length: 64 }, (_, i) => i)
      await write(store, put('a', bytes.subarray(8, 16)))
      bytes.fill(255)
      expect(plainValue((await read(store, 'a'))!.value)).toBe('bytes 08090a0b0c0d0e0f')
    },
  )

  storeTest('a text that is given as its UTF-8 is kept and reported as text', async (store) => {
    const encoded = Object.entries(texts).map(([key, text]) => {
      const { value, ...rest } = put(key, text)
      return withEncodedText(rest, new EncodedText(Buffer.from(text)))
    })
    await write(store, ...encoded)
    const reported = store.reported.map((change) => (change.type === 'put' ? change.member : null))
    expect(reported.map((member) => [member!.key, member!.value]).sort()).toEqual(
      Object.entries(texts).sort(),
    )
    for (const [key, text] of Object.entries(texts)) {
      const { value } = (await read(store, key))!
      expect([key, value]).toEqual([key, text])
    }
  })

  storeTest('a value as large as they may be is kept whole, before and after a restart', async (store) => {
    await write(store, put('ascii', `"${'x'.repeat(maxValueBytes - 2)}"`))
    await write(store, put('text', `"${'é'.repeat(maxValueBytes / 2 - 1)}"`))
    await write(store, put('bytes', Buffer.alloc(maxValueBytes, allBytes)))
    await expectLargest(store)
    await store.reopen()
    await expectLargest(store)
  })

  const contentTypes = [
    'application/problem+json',
    'application/vnd.é+json',
    'text/plain; charset=utf-8',
    `x/${'y'.repeat(maxContentTypeBytes - 2)}`,
  ]
  phaseTest(
    'content types are kept',
    contentTypes.map(
      (contentType, i) => (store: Store) =>
        write(
          store,
          put(`text${i}`, '{}', { contentType }),
          put(`bytes${i}`, allBytes, { contentType }),
          put(`json${i}`, '{}'),
        ),
    ),
    async (store) => {
      for (const [i, contentType] of contentTypes.entries()) {
        expect(await read(store, `text${i}`)).toMatchObject({ contentType, value: '{}' })
        expect(await read(store, `bytes${i}`)).toMatchObject({ contentType })
        expect(await read(store, `json${i}`)).toMatchObject({ contentType: 'application/json' })
      }
    },
  )

  const flags = [0, 1, 255, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1]
  phaseTest(
    'flags are kept',
    [
      (store) => write(store, ...flags.map((flag) => put(`f${flag}`, '1', { flags: flag }))),
      (store) => write(store, put('z')),
    ],
    async (store) => {
      for (const flag of flags) expect((await read(store, `f${flag}`))?.flags).toBe(flag)
    },
  )

  const times = [null, 0, 1, noonMs, 2 ** 32, maxTimeMs]
  phaseTest(
    'expiry is kept, and what has expired is still read',
    [
      (store) => write(store, ...times.map((expiresAtMs) => put(`e${expiresAtMs}`, '1', { expiresAtMs }))),
      (store) => write(store, put('z')),
    ],
    async (store) => {
      for (const expiresAtMs of times) {
        expect(await read(store, `e${expiresAtMs}`)).toMatchObject({ expiresAtMs })
      }
    },
  )

  const long = 'é'.repeat(maxCollectionBytes / 2)
  phaseTest(
    'a collection may have the longest of names',
    [(store) => write(store, put('a', '1', { collection: long })), (store) => write(store, put('b'))],
    async (store) => {
      expect(await read(store, 'a', long)).toMatchObject({ value: '1' })
      expect(await store.engine.collections()).toContainEqual({ name: long, members: 1, bytes: 2 })
    },
  )
}

/** Parts at the ends of a value, and around the edges of pieces of 64 KiB. */
function* partsOf(bytes: number): Generator<[from: number, to: number]> {
  yield [0, bytes]
  const edges = [0, 1, 2, 65_535, 65_536, 65_537, 131_072, bytes - 1, bytes].filter(
    (at) => at >= 0 && at <= bytes,
  )
  for (const from of edges) for (const to of edges) if (from < to) yield [from, to]
}

async function expectLargest(store: Store): Promise<void> {
  // Compared with ===, so that a failure does not print 16 MiB.
  expect((await read(store, 'ascii'))?.value === `"${'x'.repeat(maxValueBytes - 2)}"`).toBe(true)
  expect((await read(store, 'text'))?.value === `"${'é'.repeat(maxValueBytes / 2 - 1)}"`).toBe(true)
  const { value } = (await read(store, 'bytes'))!
  expect(typeof value).not.toBe('string')
  expect(Buffer.compare(Buffer.from(value), Buffer.alloc(maxValueBytes, allBytes))).toBe(0)
  expect(await store.engine.collections()).toEqual([
    { name: collection, members: 3, bytes: 3 * maxValueBytes + 'asciitextbytes'.length },
  ])
}

function putValues(store: Store, names: readonly string[]): Promise<unknown> {
  return write(store, ...names.map((name) => put(name, all[name]!)))
}
