import { expect, test } from 'bun:test'
import { type Random, random, seedOfRun } from '../../../../test/support/random.ts'
import { newChunk } from '../wal/log-files.ts'
import { encodeRecord, recordKey } from '../wal/record.ts'
import { inKeyOrder, type Records } from './key-order.ts'

function recordsOf(keys: readonly string[], chunkCount: number): Records {
  const chunks = Array.from({ length: chunkCount }, () => newChunk(keys.length * 640 + 8))
  const chunkOf = new Uint8Array(keys.length)
  const offsetOf = new Uint32Array(keys.length)
  let at = 8
  for (const [i, key] of keys.entries()) {
    // As segments follow each other.
    chunkOf[i] = Math.floor((i * chunkCount) / keys.length)
    offsetOf[i] = at
    at = encodeRecord(chunks[chunkOf[i]!]!, at, {
      kind: 'put',
      collection: 'c',
      key,
      value: '1',
      contentType: '',
      node: '',
      flags: 0,
      position: i + 1,
      createdAtMs: 0,
      clock: 0,
      expiresAtMs: null,
      replaced: null,
    })
  }
  return { chunks, chunkOf, offsetOf }
}

const kinds: Record<string, (r: Random) => string> = {
  'numbers of one length': (r) => `key${String(r.int(300)).padStart(7, '0')}`,
  'numbers of many lengths': (r) => `key${r.int(3000)}`,
  'random bytes, with zeros': (r) =>
    String.fromCharCode(...Array.from({ length: 1 + r.int(7) }, () => r.pick([0, 0, 1, 2, 107, 255, 256]))),
  'any characters': (r) =>
    Array.from({ length: 1 + r.int(12) }, () =>
      String.fromCodePoint(r.pick([65, 233, 0x65e5, 0x1f600])),
    ).join(''),
  'long, and different at their ends': (r) =>
    `${'x'.repeat(200)}${r.pick(['', 'a'])}${'y'.repeat(60)}${r.int(40)}`,
  'long, and different all over': (r) =>
    Array.from({ length: 50 }, () => String.fromCharCode(33 + r.int(90))).join(''),
  'one key': () => 'k',
}

for (const [name, keyOf] of Object.entries(kinds)) {
  test(`records come by key, those of one key as they were written: ${name}`, () => {
    const r = random(seedOfRun())
    for (const count of [1, 2, 3, 50, 2000]) {
      const keys = Array.from({ length: count }, () => keyOf(r))
      const records = recordsOf(keys, r.pick([1, 3]))
      // Of several collections each has its own records.
      const own = keys.map((_, i) => i).filter((i) => i === 0 || !r.oneIn(4))
      const bytes = keys.map((key) => Buffer.from(key))
      const expected = own.toSorted((a, b) => Buffer.compare(bytes[a]!, bytes[b]!) || a - b)
      const { order, isFollowed } = inKeyOrder(records, own)
      expect([...order]).toEqual(expected)
      for (let i = 1; i < order.length; i++) {
        const [a, b] = [order[i - 1]!, order[i]!]
        expect(isFollowed[i - 1] === 1).toBe(keys[a] === keys[b])
        expect(recordKey(records.chunks[records.chunkOf[a]!]!, records.offsetOf[a]!)).toBe(keys[a]!)
      }
      expect(isFollowed.at(-1)).toBe(0)
    }
  })
}
