import { expect, test } from 'bun:test'
import { random, seedOfRun } from '../../../test/support/random.ts'
import { InvalidPattern } from './pattern-parse.ts'
import { patternOf } from './patterns.ts'

/** The patterns of schemas are JavaScript's, so JavaScript's expressions are the model. */

const texts = [
  '',
  'a',
  'ab',
  'ba',
  'aab',
  'b1',
  '12',
  ' a\n',
  'a\nb',
  'é',
  '😀',
  'A_b',
  '-',
  '$',
  ']',
  'aaaa',
  '\u2028',
  'ß.x',
  '/a',
]

test.each([
  '^a',
  'b$',
  '^a|b$',
  '^(a|ab)(c|bcd)?$',
  '(?:a{2,}|b+?)$',
  '(?<name>a)b',
  'a*?b',
  '^.$',
  '^\\d+$',
  '^\\w+\\s?$',
  '\\D\\S',
  '[\\s\\S]',
  '^[^\\W\\d]+$',
  '^[\\]\\-a]$',
  '[^]',
  '[]',
  'a[]|b',
  '^\\$$',
  '^\\u{1F600}$',
  '^\\ud83d\\ude00$',
  '\\u0061',
  '\\x61',
  '\\cJ',
  '\\n',
  '^\\p{L}+$',
  '^\\P{L}+$',
  '\\p{Script=Latin}',
  '^[\\p{Lu}_]',
  '^\\/a',
  '(^a|b)(b|$)',
  'a{0}b',
  'a{0,2}$',
  '^(?:)$',
  '()',
  '(a?)*$',
  '^^a',
  '.',
  '[\\b]',
  '\\0',
])('%s', (pattern) => {
  const expected = new RegExp(pattern, 'u')
  const compiled = patternOf(pattern)
  for (const text of [...texts, '\b', '\0'])
    expect([text, compiled.test(text)]).toEqual([text, expected.test(text)])
})

test('random patterns match what those of JavaScript match', () => {
  const r = random(seedOfRun())
  const atoms = ['a', 'b', '.', '[ab]', '[^a]', '\\w', '\\d', '^', '$', '1', '\\.', '\\p{L}']
  const counts = ['', '', '', '*', '+', '?', '*?', '{2}', '{1,2}', '{0,}', '{0}']
  const patternFrom = (depth: number): string =>
    Array.from({ length: 1 + r.int(3) }, () => {
      const atom =
        depth > 0 && r.oneIn(3) ? `(${r.pick(['', '?:'])}${patternFrom(depth - 1)})` : r.pick(atoms)
      return /^[\^$]$/.test(atom) ? atom : `${atom}${r.pick(counts)}`
    }).join(r.oneIn(4) ? '|' : '')
  for (let round = 0; round < 2000; round++) {
    const pattern = patternFrom(3)
    const expected = new RegExp(pattern, 'u')
    const compiled = patternOf(pattern)
    for (const text of texts)
      expect([pattern, text, compiled.test(text)]).toEqual([pattern, text, expected.test(text)])
  }
})

test.each([
  ['(', 'missing'],
  ['a**', 'nothing to repeat'],
  ['\\-', 'invalid'],
  ['(?=a)', 'a group that looks around'],
  ['(?!a)', 'a group that looks around'],
  ['(?<=a)b', 'a group that looks around'],
  ['(?<!a)b', 'a group that looks around'],
  ['(?i:a)', 'a group that looks around or has flags'],
  ['a\\b', 'the edge of a word'],
  ['(a)\\1', 'a reference to a group'],
  ['(?<n>a)\\k<n>', 'a reference to a group'],
  ['((a{100}){100}){100}', 'more than 4096 states'],
  ['a'.repeat(9000), 'at most 8192 characters'],
  [`${'('.repeat(100)}a${')'.repeat(100)}`, 'at most 64 deep'],
])('%s is refused', (pattern, why) => {
  expect(() => patternOf(pattern)).toThrow(InvalidPattern)
  expect(() => patternOf(pattern)).toThrow(new RegExp(why, 'i'))
})

test('a pattern that doubles its work with each character elsewhere ends', () => {
  const text = `${'a'.repeat(100_000)}!`
  for (const pattern of ['^(a+)+$', '^(a|aa)+$', '(.*)*x$', '^(([a-z])+.)+[A-Z]([a-z])+$'])
    expect([pattern, patternOf(pattern).test(text)]).toEqual([pattern, false])
})
