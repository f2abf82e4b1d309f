import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { isLossless, layOut, lineAndColumn, rangeOfPointer, readJson } from './json-text.ts'

test('it takes what JSON.parse takes, and nothing else', () => {
  const cases = [
    '',
    ' ',
    '1',
    '-0',
    '01',
    '1.',
    '.5',
    '1e5',
    '1e',
    '+1',
    'true',
    'tru',
    'nullx',
    'null',
    '"a',
    '"a"',
    '"\\x"',
    '"\\u12"',
    '"\\u1234"',
    '"a\nb"',
    '"\t"',
    '[]',
    '[',
    ']',
    '[1',
    '[1,',
    '[1,]',
    '[,1]',
    '[1 2]',
    '{}',
    '{',
    '}',
    '{"a"}',
    '{"a":}',
    '{"a":1',
    '{"a":1,}',
    '{"a":1,"a":2}',
    '{a:1}',
    "{'a':1}",
    '{"a":1]',
    '[1}',
    '1 2',
    '{}x',
    '1.000000000000000000001e400',
    '\ufeff1',
    '\u00a01',
    'NaN',
    '[[[[]]]]',
    '[1,[2,{"b":[]}]]',
    '"\\ud800"',
    '-',
    '[-]',
  ]
  for (const text of cases) expect([text, readJson(text) === null]).toEqual([text, isJson(text)])
  fc.assert(
    fc.property(fc.json(), fc.nat(), fc.string({ maxLength: 2 }), (json, seed, noise) => {
      expect(readJson(json)).toBeNull()
      const at = seed % (json.length + 1)
      const broken = json.slice(0, at) + noise + json.slice(at + 1)
      expect([broken, readJson(broken) === null]).toEqual([broken, isJson(broken)])
    }),
    { numRuns: 500 },
  )
})

test('depth needs no stack', () => {
  expect(readJson('['.repeat(200_000) + ']'.repeat(200_000))).toBeNull()
})

test('faults say what is missing, and where', () => {
  const faultAt = (text: string) => {
    const fault = readJson(text)!
    const { line, column } = lineAndColumn(text, fault.at)
    return `${line}:${column} ${fault.message}`
  }
  expect(faultAt('{\n  "a": 1\n  "b": 2\n}')).toBe('3:3 A comma or } is missing here')
  expect(faultAt('{"a": 1,}')).toBe('1:9 There is a comma too many before this')
  expect(faultAt('[1, 2,\r\n]')).toBe('2:1 There is a comma too many before this')
  expect(faultAt('{a: 1}')).toBe('1:2 A name in double quotes or } is missing here')
  expect(faultAt('{"a": yes}')).toBe('1:7 yes needs double quotes')
  expect(faultAt('[01]')).toBe('1:2 01 is not a number of JSON')
  expect(faultAt('{"a": "b')).toBe('1:7 This text is not closed')
  expect(faultAt('{"a": [1')).toBe('1:9 The array is not closed: ] is missing')
  expect(faultAt('{} {}')).toBe('1:4 Nothing may follow the value')
})

test('the layout alone changes: numbers, escapes, order and names that occur twice stay', () => {
  const text =
    '{"n":1.000000000000000000001e400, "n" : -0,"b":{},"a":[ ],"l":[1,[2,"\\u00e5\\/"],{"x":null}]}\n'
  const laidOut = `{
  "n": 1.000000000000000000001e400,
  "n": -0,
  "b": {},
  "a": [],
  "l": [
    1,
    [
      2,
      "\\u00e5\\/"
    ],
    {
      "x": null
    }
  ]
}
`
  expect(layOut(text, '  ')).toBe(laidOut)
  expect(layOut(laidOut, '  ')).toBe(laidOut)
  expect(layOut(laidOut, null)).toBe(text.replaceAll(' ', ''))
  expect(layOut('{', '  ')).toBeNull()
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      const short = JSON.stringify(value)
      expect(layOut(short, '  ')).toBe(JSON.stringify(value, null, 2))
      expect(layOut(JSON.stringify(value, null, 3), null)).toBe(short)
    }),
  )
})

test('a pointer is found in the text', () => {
  const text = '{"a": {"b/c": [10, {"~": "here"}]}, "a": {"x": 1}}'
  const at = (pointer: string) => {
    const { from, to } = rangeOfPointer(text, pointer)!
    return text.slice(from, to)
  }
  expect(at('/a/b~1c/1/~0')).toBe('"here"')
  expect(at('/a/b~1c/0')).toBe('10')
  expect(at('/a/b~1c/7')).toBe('[')
  expect(at('')).toBe('{')
  expect(at('/none')).toBe('{')
  expect(rangeOfPointer('{', '/a')).toBeNull()
})

test('what JSON.parse would change is not lossless', () => {
  for (const text of ['{"a": [1, "x", null]}', '1', '"å"\n'])
    expect([text, isLossless(text)]).toEqual([text, true])
  for (const text of [
    '1.0',
    '12345678901234567890',
    '{"a":1,"a":2}',
    '{"2":0,"1":0}',
    '"\\u0041"',
    '{"__proto__":1}',
    '{',
  ])
    expect([text, isLossless(text)]).toEqual([text, false])
})

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}
