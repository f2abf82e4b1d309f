import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { compareKeys, parseKey } from '../keys.ts'
import { maxKeyBytes } from '../limits.ts'
import type { StoredJson } from '../member-visitor.ts'
import { indexOf, parseIndexes } from './definition.ts'
import { canonicalValue, encodeValue } from './encode-value.ts'
import { entryOf, type IndexEntry, isUniqueEntry, memberRefOf, readEntry } from './entries.ts'

const indexOn = (on: readonly string[], unique = false) =>
  indexOf('c', parseIndexes([{ name: 'i', on, unique }])[0]!)

const order = (a: string, b: string) => compareKeys(encodeValue(a, 160).text, encodeValue(b, 160).text)

describe('values are encoded in their order', () => {
  const ascending = [
    [undefined],
    ['null'],
    ['false'],
    ['true'],
    ['-1e1000000000000000000', '-2e1000000000000000000'],
    ['-1e400'],
    ['-123456789012345678901234567890.5'],
    ['-123456789012345678901234567890'],
    ['-100.1'],
    ['-100', '-1e2', '-100.0', '-0.1E+3'],
    ['-99'],
    ['-1'],
    ['-0.5'],
    ['-0.25'],
    ['-1e-400'],
    ['-1e-1000000000000000000'],
    ['0', '-0', '0.00', '0e5', '-0e999999999999999999'],
    ['1e-1000000000000000000'],
    ['1e-400'],
    ['0.25', '25e-2', '2.5E-1'],
    ['0.5'],
    ['0.50000000000000000000001'],
    ['1'],
    ['9'],
    ['10', '1e1', '10.0', '100e-1'],
    ['100', '1e2', '100.0'],
    ['9007199254740993'],
    ['9007199254740994'],
    ['1e400'],
    ['1e1000000000000000000'],
    ['""'],
    ['"\\u0000"'],
    ['"\\u0000\\u0000"'],
    ['"\\u0001"'],
    ['"\\u0001a"'],
    ['"\\u0002"'],
    ['"\\u0003"'],
    ['" "'],
    ['"A"', '"\\u0041"'],
    ['"a"'],
    ['"a\\u0000"'],
    ['"aa"'],
    ['"é"', '"\\u00e9"'],
    ['"\ud7ff"'],
    ['"\ud7ff\u0003"'],
    ['"\ud7ffz"'],
    ['"\\ud800"'],
    ['"\\ud800a"'],
    ['"\\udfff"'],
    ['"\ue000"'],
    ['"\uffff"'],
    ['"😀"', '"\\ud83d\\ude00"'],
    ['[1]'],
    ['[]'],
    ['{"a":1}'],
    ['{}'],
  ]
  test('from nothing to objects', () => {
    for (const [i, equal] of ascending.entries()) {
      for (const one of equal)
        expect([one, encodeValue(one, 160).text]).toEqual([one, encodeValue(equal[0], 160).text])
      const [next] = ascending[i + 1] ?? []
      if (i + 1 < ascending.length)
        expect([
          equal[0],
          next,
          compareKeys(encodeValue(equal[0], 160).text, encodeValue(next, 160).text),
        ]).toEqual([equal[0], next, -1])
    }
  })

  test('strings by their code points, whatever is in them', () => {
    const special = fc.constantFrom(
      '\u0000',
      '\u0001',
      '\u0002',
      '\u0003',
      '\ud7ff',
      '\ue000',
      '\uffff',
      '😀',
      '\u{10ffff}',
      'a',
    )
    const text = fc.array(special, { maxLength: 6 }).map((parts) => parts.join(''))
    fc.assert(
      fc.property(text, text, (a, b) => {
        expect(Math.sign(order(JSON.stringify(a), JSON.stringify(b)))).toBe(Math.sign(compareKeys(a, b)))
      }),
    )
  })

  test('long strings that are truncated never sort before shorter ones, nor after larger ones', () => {
    const special = fc.constantFrom('\u0001', 'a', 'z', 'é', '\ud7ff', '\ue000', '\uffff', '😀', '\u{10ffff}')
    const text = fc.array(special, { minLength: 3, maxLength: 9 }).map((parts) => parts.join(''))
    fc.assert(
      fc.property(text, text, (a, b) => {
        const [one, other] = [a, b].map((each) => encodeValue(JSON.stringify(each), 9))
        const encoded = compareKeys(one!.text, other!.text)
        if (encoded !== 0) expect(encoded).toBe(compareKeys(a, b))
        else if (a !== b) expect([one!.isTruncated, other!.isTruncated]).toEqual([true, true])
      }),
      { numRuns: 2000 },
    )
  })

  test('numbers by their exact value, however they are written', () => {
    const digits = fc.bigInt({ min: -(10n ** 30n), max: 10n ** 30n })
    const number = fc.record({ digits, scale: fc.integer({ min: -40, max: 40 }) })
    const written = ({ digits: of, scale }: { digits: bigint; scale: number }) => `${of}e${scale}`
    const value = ({ digits: of, scale }: { digits: bigint; scale: number }) => of * 10n ** BigInt(scale + 40)
    fc.assert(
      fc.property(number, number, (a, b) => {
        const [x, y] = [value(a), value(b)]
        expect(order(written(a), written(b))).toBe(x < y ? -1 : x > y ? 1 : 0)
        if (x === y) expect(canonicalValue(written(a))).toBe(canonicalValue(written(b)))
        else expect(canonicalValue(written(a))).not.toBe(canonicalValue(written(b)))
      }),
    )
  })

  test('numbers with more digits than are encoded are truncated and say so', () => {
    const [a, b, c] = ['1', '10', '11'].map((tail) => encodeValue(`0.${'3'.repeat(40)}${tail}`, 160))
    expect([a!.isTruncated, b!.isTruncated, c!.isTruncated]).toEqual([true, true, true])
    expect([a!.text, b!.text]).toEqual([c!.text, c!.text])
    const exact = encodeValue(`0.${'3'.repeat(40)}`, 160)
    expect([exact.isTruncated, compareKeys(exact.text, a!.text)]).toEqual([false, -1])
    expect(compareKeys(encodeValue(`0.${'3'.repeat(39)}4`, 160).text, a!.text)).toBe(1)
    const negative = [`-0.${'3'.repeat(40)}1`, `-0.${'3'.repeat(40)}`].map((one) => encodeValue(one, 160))
    expect([negative[0]!.isTruncated, compareKeys(negative[0]!.text, negative[1]!.text)]).toEqual([true, -1])
  })
})

describe('entries', () => {
  const keys = fc
    .string({ unit: 'grapheme', minLength: 1, maxLength: 300 })
    .filter((key) => Buffer.byteLength(key) <= 512)
  const index = indexOn(['@.a', '@.b'])

  /** Returns an entry as a visitor is shown it, with other bytes around. */
  function stored({ key, value }: IndexEntry): StoredJson {
    const bytes = Buffer.from(`x${key}${value}\u0001`)
    const valueAt = bytes.length - 1 - Buffer.byteLength(value)
    const offsets = { keyAt: 1, keyEnd: valueAt, valueAt, valueEnd: bytes.length - 1 }
    return { bytes, ...offsets, revision: 1, createdAtMs: 0, clock: 0, flags: 0 }
  }

  test('name their member, and are keys, whatever they are made of', () => {
    fc.assert(
      fc.property(fc.json(), fc.json(), keys, (a, b, key) => {
        for (const of of [index, indexOn(['@.a', '@.b'], true)]) {
          const entry = entryOf(of, key, `{"a":${a},"b":${b}}`)
          expect(parseKey(entry.key)).toBe(entry.key)
          expect(readEntry(entry.key, entry.value, 2).memberKey).toBe(key)
          expect(memberRefOf(stored(entry), 2, 'c')).toMatchObject({ collection: 'c', key })
          expect(isUniqueEntry(entry.key, 2)).toBe(of.unique)
        }
      }),
    )
  })

  test('of the longest keys and values fit', () => {
    for (const key of ['x'.repeat(512), '😀'.repeat(128), '\u0001'.repeat(512)]) {
      for (const text of [
        'y'.repeat(5000),
        '\\u0000'.repeat(3000),
        '\\ud800'.repeat(3000),
        '😀'.repeat(3000),
      ]) {
        for (const unique of [false, true]) {
          const of = indexOn(['@.a', '@.b', '@.c', '@.d'], unique)
          const entry = entryOf(of, key, `{"a":"${text}","b":"${text}","c":"${text}","d":"${text}"}`)
          expect(Buffer.byteLength(entry.key)).toBeLessThanOrEqual(maxKeyBytes)
          expect(readEntry(entry.key, entry.value, 4).memberKey).toBe(key)
          expect(memberRefOf(stored(entry), 4, 'c')).toMatchObject({ collection: 'c', key })
        }
      }
    }
  })

  test('of equal values are in the order of the keys, however long those are', () => {
    const of = indexOn(['@'])
    const entryKey = (key: string) => entryOf(of, key, '1').key
    const ordered = ['a', 'b', `${'b'.repeat(500)}1`, 'c', '😀']
    expect(ordered.map(entryKey).toSorted(compareKeys)).toEqual(ordered.map(entryKey))
    expect(entryKey(`${'b'.repeat(500)}1`)).not.toBe(entryKey(`${'b'.repeat(500)}2`))
  })

  test('of unique values have no key in them, unless a field has no value', () => {
    const of = indexOn(['@.a', '@.b'], true)
    const one = (value: string) => entryOf(of, 'k1', value)
    expect(one('{"a":1,"b":null}').key).toBe(entryOf(of, 'k2', '{"b":null,"a":1.0}').key)
    expect(one('{"a":1}').key).not.toBe(entryOf(of, 'k2', '{"a":1}').key)
    const long = 'x'.repeat(1000)
    expect(one(`{"a":"${long}","b":1}`).key).toBe(entryOf(of, 'k2', `{"a":"${long}","b":1e0}`).key)
    expect(one(`{"a":"${long}","b":1}`).key).not.toBe(one(`{"a":"${long}y","b":1}`).key)
    expect(one(`{"a":"${long}","b":1}`).key).not.toBe(one(`{"a":"${long}","b":2}`).key)
  })

  test('of values that are not JSON have nothing in every field', () => {
    expect(entryOf(index, 'k', new Uint8Array([1])).key).toBe(entryOf(index, 'k', '7').key)
  })
})
