import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { maxCachedStates, maxRegexpDepth, maxRegexpLength, maxRegexpStates } from './limits.ts'
import { Regexp } from './regexp.ts'
import { InvalidRegexp } from './regexp-parse.ts'

function isMatch(pattern: string, text: string): boolean {
  return new Regexp(pattern, false).test(text, () => {})
}

function isFound(pattern: string, text: string): boolean {
  return new Regexp(pattern, true).test(text, () => {})
}

function stepsOf(pattern: string, text: string, isSearch = false): number {
  let steps = 0
  new Regexp(pattern, isSearch).test(text, (more) => {
    steps += more
  })
  return steps
}

describe('the whole text matches', () => {
  const cases: readonly [pattern: string, matching: readonly string[], others: readonly string[]][] = [
    ['', [''], ['a']],
    ['abc', ['abc'], ['ab', 'abcd', 'xabc']],
    ['a|b|', ['a', 'b', ''], ['ab']],
    ['(a|b)*c', ['c', 'abbac'], ['ab']],
    ['a?b+', ['b', 'abb'], ['a', 'aab']],
    ['a{3}', ['aaa'], ['aa', 'aaaa']],
    ['a{2,}', ['aa', 'aaaaaa'], ['a']],
    ['(ab){1,2}', ['ab', 'abab'], ['', 'ababab']],
    ['a{0}', [''], ['a']],
    ['.', ['a', '😀', '\u2028'], ['\n', '\r', '', 'ab']],
    ['[a-cx]', ['a', 'b', 'x'], ['d', '-']],
    ['[^a-c]', ['d', '\n', '😀'], ['a', '']],
    ['[-a]', ['-', 'a'], ['b']],
    ['[a-]', ['-', 'a'], ['b']],
    ['[^-]', ['a'], ['-']],
    ['[--]', ['-'], ['a']],
    ['[^]', ['^'], ['a']],
    ['[$.*]', ['$', '.', '*'], ['a']],
    ['[\\]\\[\\\\\\^\\-]', [']', '[', '\\', '^', '-'], ['a']],
    ['\\(\\)\\*\\+\\-\\.\\?\\[\\\\\\]\\^\\{\\|\\}', ['()*+-.?[\\]^{|}'], []],
    ['\\n\\r\\t', ['\n\r\t'], ['nrt']],
    ['\\p{L}+', ['aÅж'], ['a1', '']],
    ['\\P{L}', ['1', '😀'], ['a']],
    ['[\\p{Lu}\\p{Nd}_]+', ['Å_9'], ['a']],
    ['[^\\p{L}]', ['1'], ['a']],
    ['\\p{Cn}', ['\u0378'], ['a']],
    ['😀{2}', ['😀😀'], ['😀']],
    ['[😀-😂]', ['😁'], ['😃', '\ud83d']],
    ['^a$', ['a'], ['', 'aa']],
    ['(^|a)b($|c)', ['b', 'ab', 'bc', 'abc'], ['a']],
    ['a^b|a$b', [], ['ab', 'a^b', 'a$b']],
    ['"\'&/<>=~`@ %#!,:;_', ['"\'&/<>=~`@ %#!,:;_'], []],
  ]
  for (const [pattern, matching, others] of cases) {
    test(JSON.stringify(pattern), () => {
      for (const text of matching) expect([text, isMatch(pattern, text)]).toEqual([text, true])
      for (const text of others) expect([text, isMatch(pattern, text)]).toEqual([text, false])
    })
  }
})

test('a search finds a part of the text', () => {
  expect(isFound('b+', 'abbc')).toBe(true)
  expect(isFound('', '')).toBe(true)
  expect(isFound('bc$', 'abc')).toBe(true)
  expect(isFound('^b', 'abc')).toBe(false)
  expect(isFound('a.c', 'aXbca\nc')).toBe(false)
  expect(isFound('c\\p{L}', '\n😀cé')).toBe(true)
  expect(isFound('$^', '')).toBe(true)
  expect(isFound('$^', 'a')).toBe(false)
})

test('half of a surrogate pair is a character of its own', () => {
  expect(isMatch('.', '\ud83d')).toBe(true)
  expect(isMatch('..', '\ude00\ud83d')).toBe(true)
  expect(isFound('\\P{L}', '\ud83d')).toBe(true)
})

describe('what is not an I-Regexp', () => {
  const mistakes: readonly [pattern: string, position: number][] = [
    ['(', 0],
    ['a)', 1],
    ['a**', 2],
    ['*', 0],
    ['a|?', 2],
    ['a{', 1],
    ['a{,3}', 1],
    ['a{3,2}', 1],
    ['{2}', 0],
    ['a}', 1],
    ['[', 0],
    ['[]', 0],
    ['[a', 0],
    [']', 0],
    ['[a-b-c]', 4],
    ['[b-a]', 1],
    ['[a[b]', 2],
    ['[a-\\p{L}]', 8],
    ['[a--]', 3],
    ['\\', 0],
    ['\\d', 0],
    ['\\w', 0],
    ['\\b', 0],
    ['\\$', 0],
    ['\\u0041', 0],
    ['\\p{Greek}', 0],
    ['\\p{Cs}', 0],
    ['\\pL', 0],
    ['(?:a)', 1],
    ['(?i)a', 1],
    ['a+?', 2],
    ['\ud83d', 0],
    ['x{1000000000000000000000000}', 28],
  ]
  for (const [pattern, position] of mistakes) {
    test(JSON.stringify(pattern), () => {
      let found: unknown
      try {
        new Regexp(pattern, false)
      } catch (error) {
        found = error
      }
      expect(found).toBeInstanceOf(InvalidRegexp)
      expect((found as InvalidRegexp).position).toBe(position)
    })
  }

  test('passes a limit', () => {
    const limited: readonly [pattern: string, limit: number][] = [
      ['a'.repeat(maxRegexpLength + 1), maxRegexpLength],
      ['a'.repeat(maxRegexpStates + 1), maxRegexpStates],
      ['((a{60}){60}){60}', maxRegexpStates],
      ['(){99999}', maxRegexpStates],
      ['(((|){9}|){99}|){999}', maxRegexpStates],
      [`${'('.repeat(maxRegexpDepth + 1)}${')'.repeat(maxRegexpDepth + 1)}`, maxRegexpDepth],
    ]
    for (const [pattern, limit] of limited) {
      let found: unknown
      try {
        new Regexp(pattern, false)
      } catch (error) {
        found = error
      }
      expect([pattern.slice(0, 30), (found as InvalidRegexp)?.limit]).toEqual([pattern.slice(0, 30), limit])
    }
  })
})

describe('the steps grow with the text, not faster', () => {
  const explosive: readonly string[] = [
    '(a*)*b',
    '(a|a)*b',
    '(a|aa)+b',
    '(.*)(.*)(.*)(.*)[^a]',
    '(a?){50}a{50}b',
    '((a+)+)+b',
    '[ab]*a[ab]{12}c',
  ]
  for (const pattern of explosive) {
    test(pattern, () => {
      for (const isSearch of [false, true]) {
        const short =
          stepsOf(pattern, 'ab'.repeat(1000), isSearch) + stepsOf(pattern, 'a'.repeat(2000), isSearch)
        const long =
          stepsOf(pattern, 'ab'.repeat(10_000), isSearch) + stepsOf(pattern, 'a'.repeat(20_000), isSearch)
        expect(long).toBeLessThan(short * 11)
      }
    })
  }

  test('with more sets of states than are kept', () => {
    let seed = 1
    const text = Array.from({ length: 20_000 }, () => {
      seed = (Math.imul(seed, 1_103_515_245) + 12_345) & 0x7fff_ffff
      return (seed >> 20) & 1 ? 'a' : 'b'
    }).join('')
    const pattern = '[ab]*a[ab]{14}c'
    expect(stepsOf(pattern, text)).toBeLessThan(text.length * 20 * 4)
    expect(2 ** 14).toBeGreaterThan(maxCachedStates)
    const regexp = new Regexp(pattern, false)
    let steps = 0
    for (const round of [1, 2]) {
      steps = 0
      regexp.test(text, (more) => {
        steps += more
      })
      // What was found the first time is not all kept.
      expect([round, steps > text.length]).toEqual([round, true])
    }
    expect(isMatch(pattern, `${text}a${text.slice(0, 14)}c`)).toBe(true)
    expect(isMatch(pattern, `${text}b${text.slice(0, 14)}c`)).toBe(false)
  })
})

test('random patterns match what they match in JavaScript', () => {
  const letter = fc.constantFrom(
    'a',
    'b',
    'c',
    '😀',
    '.',
    '[ab]',
    '[^a]',
    '[a-b😀]',
    '\\p{L}',
    '\\P{Lu}',
    '\\.',
    '^',
    '$',
  )
  const { choice } = fc.letrec<{ atom: string; piece: string; sequence: string; choice: string }>((tie) => ({
    atom: fc.oneof(
      { depthSize: 'small', withCrossShrink: true },
      letter,
      tie('choice').map((one) => `(${one})`),
    ),
    piece: fc
      .tuple(tie('atom'), fc.constantFrom('', '', '', '*', '+', '?', '{2}', '{0,2}', '{1,}', '{0}'))
      // In JavaScript an anchor has no quantifier.
      .map(([atom, count]) => (atom === '^' || atom === '$' ? atom : atom + count)),
    sequence: fc.array(tie('piece'), { maxLength: 3 }).map((pieces) => pieces.join('')),
    choice: fc.array(tie('sequence'), { minLength: 1, maxLength: 2 }).map((parts) => parts.join('|')),
  }))
  const text = fc.string({ unit: fc.constantFrom('a', 'b', 'c', 'A', '😀', '\n', '.'), maxLength: 5 })
  fc.assert(
    fc.property(choice, fc.array(text, { minLength: 4, maxLength: 4 }), (pattern, texts) => {
      const script = pattern.replaceAll(/\\\.|\[[^\]]*\]|\./g, (found) =>
        found === '.' ? '[^\\n\\r]' : found,
      )
      const whole = new RegExp(`^(?:${script})$`, 'u')
      const part = new RegExp(script, 'u')
      const ownWhole = new Regexp(pattern, false)
      const ownPart = new Regexp(pattern, true)
      for (const one of texts) {
        const found = [ownWhole.test(one, () => {}), ownPart.test(one, () => {})]
        expect([pattern, one, ...found]).toEqual([pattern, one, whole.test(one), part.test(one)])
      }
    }),
    { numRuns: 1000, includeErrorInReport: true },
  )
})
