import { expect, test } from 'bun:test'
import { EncodedText, encodedTextOf, withEncodedText } from './encoded-text.ts'

const text = '{"é":"日"}'
const content = () => withEncodedText({ flags: 1 }, new EncodedText(Buffer.from(text)))

test('a value is decoded when it is read, and its bytes are released', () => {
  const own = content()
  const encoded = encodedTextOf(own)!
  expect(encoded.isDecoded).toBeFalse()
  expect(Buffer.from(encoded.utf8).toString()).toBe(text)
  expect(own.value).toBe(text)
  expect(own).toEqual({ flags: 1, value: text })
  expect([encoded.isDecoded, encodedTextOf(own)]).toEqual([true, undefined])
  expect(Buffer.from(encoded.utf8).toString()).toBe(text)
})

test('a copy has the value, and one that is given another value keeps that', () => {
  const own = content()
  const other = { ...own, value: 'other' }
  expect([other.value, encodedTextOf(other)]).toEqual(['other', undefined])
  const copy = { ...content() }
  expect([copy.value, encodedTextOf(copy)]).toEqual([text, undefined])
})
