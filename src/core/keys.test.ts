import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { KvistError } from './errors.ts'
import {
  compareKeys,
  earlierKey,
  keyAfter,
  keyOfSortKey,
  laterKey,
  parseCollection,
  parseKey,
  prefixEnd,
  sortKey,
} from './keys.ts'

function codeOf(work: () => unknown): string {
  try {
    work()
  } catch (error) {
    if (error instanceof KvistError) return error.code
    throw error
  }
  return 'none'
}

/** Well-formed text, with characters that UTF-16 and UTF-8 put in different orders. */
const texts = fc.string({
  unit: fc.oneof(
    fc.constantFrom(
      '\0',
      '/',
      'a',
      'b',
      '\x7f',
      '\x80',
      'é',
      '\ud7ff',
      '\ue000',
      '\uffff',
      '\u{10000}',
      '\u{10ffff}',
    ),
    fc.string({ unit: 'grapheme', minLength: 1, maxLength: 1 }),
  ),
  maxLength: 12,
})

function compareBytes(a: string, b: string): number {
  return Math.sign(Buffer.compare(Buffer.from(a), Buffer.from(b)))
}

describe('names', () => {
  test('keys are 1 to 512 bytes of UTF-8', () => {
    for (const key of [
      'a',
      '\0',
      '/',
      '_a',
      ' ',
      'k'.repeat(512),
      'é'.repeat(256),
      '\u{1f600}'.repeat(128),
    ]) {
      expect(parseKey(key)).toBe(key)
    }
    for (const key of [
      '',
      'k'.repeat(513),
      'é'.repeat(257),
      '\u{1f600}'.repeat(129),
      '\ud800',
      'a\udc00',
      '日'.repeat(171),
    ]) {
      expect([key, codeOf(() => parseKey(key))]).toEqual([key, 'invalid_key'])
    }
  })

  test('collections are 1 to 128 bytes of UTF-8 that a URL can carry and that are not kvist’s own', () => {
    for (const name of ['a', 'c'.repeat(128), 'é'.repeat(64), '...', 'a_', ' ', '__proto__'.slice(2)]) {
      expect(parseCollection(name)).toBe(name)
      expect(parseCollection(name)).toBe(name)
    }
    for (const name of [
      '',
      '_',
      '_a',
      '.',
      '..',
      'a/b',
      'a\0',
      '\n',
      '\x7f',
      '\ud800',
      'c'.repeat(129),
      'é'.repeat(65),
    ]) {
      for (let i = 0; i < 2; i++) {
        expect([name, codeOf(() => parseCollection(name))]).toEqual([name, 'invalid_collection'])
      }
    }
  })
})

describe('the order of keys', () => {
  test('is that of their bytes', () => {
    fc.assert(
      fc.property(texts, texts, (a, b) => {
        expect(Math.sign(compareKeys(a, b))).toBe(compareBytes(a, b))
        expect(Math.sign(sortKey(a) < sortKey(b) ? -1 : sortKey(a) > sortKey(b) ? 1 : 0)).toBe(
          compareBytes(a, b),
        )
        expect(keyOfSortKey(sortKey(a))).toBe(a)
        expect(compareBytes(laterKey(a, b)!, earlierKey(a, b)!)).toBeGreaterThanOrEqual(0)
      }),
    )
  })

  test('nothing lies between a key and the one after it', () => {
    fc.assert(
      fc.property(texts, texts, (a, b) => {
        expect(compareBytes(keyAfter(a), a)).toBe(1)
        if (compareBytes(b, a) > 0) expect(compareBytes(b, keyAfter(a))).toBeGreaterThanOrEqual(0)
      }),
    )
  })

  test('a prefix ends where no key begins with it any more', () => {
    fc.assert(
      fc.property(texts, texts, texts, (prefix, rest, other) => {
        const end = prefixEnd(prefix)
        if (end === null) {
          expect(prefix.replaceAll('\u{10ffff}', '')).toBe('')
          return
        }
        expect(end.isWellFormed()).toBe(true)
        expect(compareBytes(prefix + rest, end)).toBe(-1)
        if (compareBytes(other, prefix) >= 0 && compareBytes(other, end) < 0)
          expect(other).toStartWith(prefix)
      }),
    )
    expect(prefixEnd('a')).toBe('b')
    expect(prefixEnd('a\u{10ffff}')).toBe('b')
    expect(prefixEnd('\ud7ff')).toBe('\ue000')
    expect(prefixEnd('')).toBeNull()
  })

  test('no bound is no bound', () => {
    expect([laterKey(null, 'a'), laterKey('a', null), laterKey(null, null)]).toEqual(['a', 'a', null])
    expect([earlierKey(null, 'a'), earlierKey('a', null), earlierKey(null, null)]).toEqual(['a', 'a', null])
  })
})
