import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { KvistError } from '../core/errors.ts'
import { decodeCursor, encodeCursor, type Question } from './cursor.ts'

const question: Question = ['c', 'asc', 'a', null]
const questions = fc.array(fc.option(fc.string({ unit: 'grapheme' })), { maxLength: 6 })
const keys = fc.string({ unit: 'grapheme', minLength: 1 })

test('a cursor is given back as it was made', () => {
  fc.assert(
    fc.property(questions, keys, (question, key) => {
      expect(decodeCursor(question, encodeCursor(question, key))).toBe(key)
    }),
  )
})

test('a cursor is none of another question', () => {
  fc.assert(
    fc.property(questions, questions, keys, (one, other, key) => {
      fc.pre(JSON.stringify(one) !== JSON.stringify(other))
      expect(() => decodeCursor(other, encodeCursor(one, key))).toThrow(KvistError)
    }),
  )
  for (const other of [
    [],
    ['d', 'asc', 'a', null],
    ['c', 'desc', 'a', null],
    ['c', 'asc', null, 'a'],
    ['c', 'asc', '', null],
    ['c', 'asc', 'a', null, null],
    ['cascanull'],
  ]) {
    expect(() => decodeCursor(other, encodeCursor(question, 'k'))).toThrow('not one of this list')
  }
})

test('the same question has the same fingerprint in every version', () => {
  expect(encodeCursor(['c', 'asc', null], 'key')).toBe('GggWTcQ4_UlrZXk')
})

test('no other text is a cursor', () => {
  const good = encodeCursor(question, 'key')
  for (const text of [
    '',
    'x',
    '%',
    `${good}=`,
    `${good} `,
    ` ${good}`,
    good.slice(1),
    good.slice(0, -1),
    encodeCursor(question, ''),
    Buffer.from('key').toString('base64url'),
    // A byte that is no UTF-8.
    Buffer.concat([Buffer.from(good, 'base64url'), Buffer.from([0xff])]).toString('base64url'),
  ]) {
    expect(() => decodeCursor(question, text)).toThrow(KvistError)
  }
  fc.assert(
    fc.property(fc.string(), (text) => {
      let key: string
      try {
        key = decodeCursor(question, text)
      } catch (error) {
        expect(error).toMatchObject({ code: 'invalid_cursor' })
        return
      }
      expect(encodeCursor(question, key)).toBe(text)
    }),
  )
})
