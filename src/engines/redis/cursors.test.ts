import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { KvistError } from '../../core/errors.ts'
import { missedAt, parseVector, positionAt, vectorText } from './cursors.ts'

const revision = fc.oneof(
  fc.constant(0),
  fc.nat(1000),
  fc.integer({ min: 3_600_000_000_000_000, max: 4_600_000_000_000_000 }),
)
const ahead = fc.option(fc.integer({ min: 1, max: 1e12 }))
const position = fc.tuple(revision, ahead, ahead).map(([at, began, seen]) => ({
  revision: at,
  began: began === null || at === 0 ? null : at + began,
  seen: seen === null || at === 0 ? null : at + seen,
}))

test('a vector of any number of lines is what its text says', () => {
  fc.assert(
    fc.property(fc.array(position, { minLength: 1, maxLength: 70 }), (vector) => {
      expect(parseVector(vectorText(vector), vector.length)).toEqual(vector)
    }),
  )
})

test('the beginning has both of its texts, and an empty store that of the beginning', () => {
  const beginning = Array.from({ length: 3 }, () => ({ revision: 0, began: null, seen: null }))
  expect([parseVector('', 3), parseVector('0', 3)]).toEqual([beginning, beginning])
  expect(vectorText(beginning)).toBe('0')
})

test('sixteen lines that are all in use take about 100 characters', () => {
  const now = 3_677_951_971_924_967
  const vector = Array.from({ length: 16 }, (_, i) => ({
    revision: now - i * 7_000_001,
    began: null,
    seen: null,
  }))
  expect(vectorText(vector).length).toBeLessThan(110)
})

test('on one line the text is a revision, as with other engines', () => {
  expect(vectorText([{ revision: 7, began: null, seen: null }])).toBe('7')
  expect(vectorText([{ revision: 7, began: 9, seen: null }])).toBe('7-9')
  expect(parseVector('7-9', 1)).toEqual([{ revision: 7, began: 9, seen: null }])
})

test('on one line what a reader has seen of the head comes last', () => {
  const [plain, both] = [
    { revision: 7, began: null, seen: 12 },
    { revision: 7, began: 9, seen: 12 },
  ]
  expect([vectorText([plain]), vectorText([both])]).toEqual(['7~12', '7-9~12'])
  expect([parseVector('7~12', 1), parseVector('7-9~12', 1)]).toEqual([[plain], [both]])
  for (const one of ['7~', '~7', '0~7', '7~7', '7~6', '7~08', '7~8~9', '7~x', '7~9007199254740993', '7~ 8'])
    expect([one, codeOf(one, 1)]).toEqual([one, 'invalid_cursor'])
})

function codeOf(text: string, lines: number): string {
  try {
    parseVector(text, lines)
    return 'parsed'
  } catch (error) {
    return error instanceof KvistError ? error.code : String(error)
  }
}

test('a text that no cursor has is refused: of other lines, cut, with more, or written otherwise', () => {
  const vector = [5, 3, 0].map((at) => ({ revision: at, began: null, seen: null }))
  const text = vectorText(vector)
  const bytes = Buffer.from(text, 'base64url')
  const otherwise = (...added: number[]) => Buffer.from([...bytes, ...added]).toString('base64url')
  const wrong = [
    text.slice(0, -1),
    `${text}A`,
    `${text}=`,
    ` ${text}`,
    otherwise(0),
    otherwise(1, 0),
    otherwise(9, 1),
    // The largest revision with a byte too many.
    Buffer.from([1, 0x85, 0, 1, 3, 0]).toString('base64url'),
    Buffer.from([2, ...bytes.subarray(1)]).toString('base64url'),
    // No line has the largest revision.
    Buffer.from([1, 5, 2, 3, 0]).toString('base64url'),
    'x'.repeat(100_000),
    '5',
    '-1',
    'é',
  ]
  for (const one of wrong)
    expect([one.slice(0, 20), codeOf(one, 3)]).toEqual([one.slice(0, 20), 'invalid_cursor'])
  for (const lines of [2, 4, 16]) expect(codeOf(text, lines)).toBe('invalid_cursor')
})

test('random bytes are refused, or are the text of what they mean', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
      const text = Buffer.from([1, ...bytes]).toString('base64url')
      let vector: ReturnType<typeof parseVector>
      try {
        vector = parseVector(text, 3)
      } catch {
        return
      }
      expect(vectorText(vector)).toBe(text)
    }),
    { numRuns: 2000 },
  )
})

const line = { head: 100, forgotten: 40, gaps: [{ after: 50, before: 60 }] }

test.each<[string, number, number | null, number | null, boolean]>([
  ['at the head', 100, null, null, true],
  ['before the head that it has seen', 45, null, 100, true],
  ['that has seen a head that is lost', 45, null, 101, false],
  ['that has seen a head in a gap', 45, null, 55, false],
  ['from the beginning that has seen a head that is lost', 45, 100, 101, false],
  ['past the head', 101, null, null, false],
  ['at the beginning', 0, null, null, true],
  ['before what was forgotten', 39, null, null, false],
  ['at what was forgotten', 40, null, null, true],
  ['before what was forgotten, on the way from the beginning', 10, 40, null, true],
  ['on the way from a beginning before that', 10, 39, null, false],
  ['at the last revision before a gap', 50, null, null, true],
  ['in a gap', 51, null, null, false],
  ['at the end of a gap', 60, null, null, true],
  ['on the way from a beginning in a gap', 45, 55, null, false],
  ['on the way from a beginning past the head', 45, 101, null, false],
])('a reader %s', (_, at, began, seen, isServed) => {
  expect(missedAt({ revision: at, began, seen }, line) === null).toBe(isServed)
})

test('a reader from the beginning of a line is on its way until it is where the head was', () => {
  const from = { revision: 0, began: null, seen: null }
  const onItsWay = { revision: 30, began: 100, seen: 100 }
  expect(positionAt(30, from, 100, true)).toEqual(onItsWay)
  expect(positionAt(60, onItsWay, 200, true)).toEqual({ revision: 60, began: 100, seen: 200 })
  expect(positionAt(100, onItsWay, 200, true)).toEqual({ revision: 100, began: null, seen: 200 })
  expect(positionAt(0, from, 100, true)).toEqual({ revision: 0, began: null, seen: null })
  expect(positionAt(30, from, 100, false)).toEqual({ revision: 30, began: null, seen: 100 })
})

test('a reader remembers the largest head until it is there', () => {
  const onItsWay = { revision: 30, began: null, seen: 120 }
  expect(positionAt(60, onItsWay, 100, false)).toEqual({ revision: 60, began: null, seen: 120 })
  expect(positionAt(120, onItsWay, 120, false)).toEqual({ revision: 120, began: null, seen: null })
})
