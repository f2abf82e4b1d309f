import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { KvistError } from '../core/errors.ts'
import { decodeCursor, encodeCursor } from './cursor.ts'

test('a cursor is given back as it was made', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme', minLength: 1 }), (key) => {
      expect(decodeCursor(encodeCursor(key))).toBe(key)
    }),
  )
})

test('no other text is a cursor', () => {
  const good = encodeCursor('key')
  for (const text of [
    '',
    'x',
    '%',
    `${good}=`,
    `${good} `,
    ` ${good}`,
    good.slice(1),
    encodeCursor(''),
    Buffer.from('key').toString('base64url'),
  ]) {
    expect(() => decodeCursor(text)).toThrow(KvistError)
  }
  fc.assert(
    fc.property(fc.string(), (text) => {
      let key: string
      try {
        key = decodeCursor(text)
      } catch (error) {
        expect(error).toMatchObject({ code: 'invalid_cursor' })
        return
      }
      expect(encodeCursor(key)).toBe(text)
    }),
  )
})
