import { expect, test } from 'bun:test'
import { isPlain, type PlainText, validEnd } from './validate.ts'
import { isCompactJson } from './validate-bytes.ts'

/** Whatever `validEnd` or `isCompactJson` accepts is JSON to `JSON.parse`; what it leaves to that is uncommon. */

function plainOf(text: string): PlainText {
  return { text, hasEscapes: text.includes('\\') }
}

/** Returns what is found to be a whole value at the start of a text, before a comma. */
function accepted(text: string, hasEscapes = text.includes('\\')): string | null {
  const end = validEnd({ text: `${text},"`, hasEscapes }, 0)
  return end === -1 ? null : `${text},"`.slice(0, end)
}

const good = [
  ...['0', '-0', '12', '-1.5', '0.25', '1e5', '1E+05', '1.0e-3', '123456789012345678901234567890', '1e400'],
  ...['true', 'false', 'null', '""', '"a"', '"é 🌍"', `"${'x'.repeat(100)}"`, '"\u007f"', '"\ud800"'],
  ...['"\\n"', '"\\u00e9\\uD83C"', '"\\\\"', '"\\\\\\""', '"\\/\\b\\f\\r\\t"', `"${'x'.repeat(40)}\\""`],
  ...[
    '[]',
    '{}',
    '[ ]',
    '{ }',
    '[1]',
    '[1, [2, {"a": [] }], 3 ]',
    '{"a":1 , "b" : {"a":[{}]}}',
    '{"":"","":0}',
  ],
  ...['[[[[[[[[1]]]]]]]]', '[{"a":[{"b":[{"c":null}]}]},{}]', '{"__proto__":{"a":"\\u0000"}}'],
]
const bad = [
  ...['', '-', '01', '1.', '.5', '1e', '1e+', '+1', '0x1', '1.e5', '- 1', 'NaN', 'Infinity', 'undefined'],
  ...[
    'tru',
    'True',
    'nulL',
    "'a'",
    '"a',
    '"\\x"',
    '"\\u12g4"',
    '"\\u123"',
    '"\\',
    '"\\"',
    '\ufeff1',
    '\u00a01',
  ],
  ...[
    '[',
    ']',
    '[1',
    '[1,]',
    '[,1]',
    '[1 2]',
    '{',
    '}',
    '{"a"}',
    '{"a":}',
    '{"a":1,}',
    '{a:1}',
    '{"a" 1}',
    '{1:1}',
  ],
  ...['[1}', '{"a":1]', '[[1]', '{"a":[1}', '{"a":{"b":1}', '[1],', '[{]}', '{"a":1 "b":2}', '{,}', '[:]'],
]

test('values are accepted whole, and what is not JSON is not', () => {
  for (const text of good) {
    JSON.parse(text)
    expect(accepted(text)).toBe(text)
    expect(accepted(text, true)).toBe(text)
  }
  for (const text of bad) {
    expect(() => JSON.parse(text)).toThrow()
    for (const hasEscapes of text.includes('\\') ? [true] : [false, true]) {
      const found = accepted(text, hasEscapes)
      expect([text, found === text]).toEqual([text, false])
      if (found !== null) JSON.parse(found)
    }
  }
})

test('bytes are accepted whole, with spaces around and a line feed behind, and what is not JSON is not', () => {
  for (const text of good) {
    for (const around of [text, ` ${text}  `, `${text}\n`, ` ${text} \n`]) {
      const bytes = Buffer.from(around)
      // A lone surrogate has no UTF-8; Buffer makes another character of it.
      JSON.parse(bytes.toString())
      expect([around, isCompactJson(bytes)]).toEqual([around, true])
      expect([around, isCompactJson(Buffer.concat([bytes, Buffer.from('x')]))]).toEqual([around, false])
    }
  }
  for (const text of [
    ...bad,
    '1\n\n',
    '1\n2',
    '"\n"',
    '\n1',
    '1\n ',
    '"\t"',
    '1\t',
    '1\r\n',
    '[1,\n2]',
    '1 2',
  ])
    expect([text, isCompactJson(Buffer.from(text))]).toEqual([text, false])
  for (const bytes of [[0xff], [0xc3], [0xed, 0xa0, 0x80], [0xc0, 0xaf], [0xf4, 0x90, 0x80, 0x80]])
    expect([bytes, isCompactJson(Uint8Array.of(0x22, ...bytes, 0x22))]).toEqual([bytes, false])
})

test('deep values and white space other than spaces are left to the parser', () => {
  const deep = (levels: number) => `${'['.repeat(levels)}1${']'.repeat(levels)}`
  expect(accepted(deep(30))).toBe(deep(30))
  expect(accepted(deep(31))).toBeNull()
  expect(accepted(deep(1000))).toBeNull()
  expect(accepted('[1,\t2]')).toBeNull()
  expect([30, 31, 1000].map((levels) => isCompactJson(Buffer.from(deep(levels))))).toEqual([
    true,
    false,
    false,
  ])
})

test('random changes to JSON are accepted only if the parser accepts them', () => {
  const seed = Math.floor(Math.random() * 2 ** 31)
  let state = seed
  const random = (below: number) => {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff
    return (state >>> 8) % below
  }
  const alphabet = '{}[]:,"\\ 01-.eEutrfalsn/\u00e9'
  let common = 0
  for (let i = 0; i < 20_000; i++) {
    const units = [...good[random(good.length)]!]
    for (let edits = random(3); edits >= 0; edits--) {
      const at = random(units.length + 1)
      units.splice(at, random(2), ...alphabet.charAt(random(alphabet.length)))
    }
    const text = units.join('')
    const end = validEnd(plainOf(text), 0)
    const isValid = isJson(text)
    expect([seed, text, isCompactJson(Buffer.from(text))]).toEqual([seed, text, isValid])
    if (end !== -1) expect([seed, text, isJson(text.slice(0, end))]).toEqual([seed, text, true])
    if (isValid && !/^\s/.test(text)) {
      expect([seed, text, text.slice(end).trim()]).toEqual([seed, text, ''])
      common++
    }
  }
  expect(common).toBeGreaterThan(1000)
})

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

test('bytes are plain without control characters other than line feeds, wherever they lie in memory', () => {
  const memory = new Uint8Array(64)
  for (let offset = 0; offset < 8; offset++) {
    for (let length = 0; length < 20; length++) {
      const bytes = memory.subarray(offset, offset + length)
      bytes.fill(0xff)
      expect(isPlain(bytes)).toBeTrue()
      bytes.fill(0x20)
      for (let at = 0; at < length; at++) {
        for (const [byte, expected] of [
          [0x0a, true],
          [0x00, false],
          [0x09, false],
          [0x0d, false],
          [0x1f, false],
          [0x7f, true],
          [0x80, true],
        ] as const) {
          bytes[at] = byte
          expect(isPlain(bytes)).toBe(expected)
        }
        bytes[at] = 0x20
      }
    }
  }
})
