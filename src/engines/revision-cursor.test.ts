import { expect, test } from 'bun:test'
import { KvistError } from '../core/errors.ts'
import { cursorText, hasSeen, parseCursor, requireServed } from './revision-cursor.ts'

function codeOf(work: () => unknown): string {
  try {
    work()
    return 'none'
  } catch (error) {
    return error instanceof KvistError ? error.code : String(error)
  }
}

test('a cursor is read as it was written', () => {
  for (const [revision, began, text] of [
    [7, null, '7'],
    [7, 9, '7-9'],
    [9, 9, '9'],
    [10, 9, '10'],
    [Number.MAX_SAFE_INTEGER, null, '9007199254740991'],
  ] as const) {
    expect(cursorText(revision, began)).toBe(text)
    expect(parseCursor(text)).toEqual({ revision, began: text.includes('-') ? began : null })
  }
  for (const beginning of ['', '0']) expect(parseCursor(beginning)).toEqual({ revision: 0, began: null })
})

test('what no engine wrote is refused', () => {
  const texts = ['x', '-1', '1.5', ' ', '1 ', '1e3', '01', '1-', '-2', '1-x', '1-1', '2-1', '0-1', '1-01']
  for (const text of [...texts, '9007199254740992', '1-9007199254740992', '99999999999999999999', '1-2-3']) {
    expect(codeOf(() => parseCursor(text))).toBe('invalid_cursor')
  }
})

test('a cursor has seen what is not newer than it', () => {
  const version = { collection: 'c', key: 'k', revision: 5 }
  expect(['', '0', '4', '4-9', '5', '5-9', '6'].map((cursor) => hasSeen(cursor, version))).toEqual([
    ...Array(4).fill(false),
    ...Array(3).fill(true),
  ])
})

test('a position is served unless tombstones after it are forgotten, or it lies past the head', () => {
  const served = (text: string) => codeOf(() => requireServed(parseCursor(text), 10, 20)) === 'none'
  expect(['', '0', '10', '20', '3-10', '3-20', '19-20'].map(served)).toEqual(Array(7).fill(true))
  expect(['1', '9', '21', '3-9', '3-21'].map(served)).toEqual(Array(5).fill(false))
})
