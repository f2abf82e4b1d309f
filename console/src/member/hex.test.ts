import { expect, test } from 'bun:test'
import { hexRow, rowCount } from './hex.ts'

test('rows have offsets, digits and characters; the last is as long as what is left', () => {
  const bytes = new Uint8Array([...new TextEncoder().encode('Hello, <b>åäö'), 0, 255])
  expect(rowCount(bytes, 16)).toBe(2)
  expect(hexRow(bytes, 0, 16)).toEqual({
    offset: '0000',
    hex: '48 65 6c 6c 6f 2c 20 3c  62 3e c3 a5 c3 a4 c3 b6',
    ascii: 'Hello, <b>......',
  })
  expect(hexRow(bytes, 1, 16)).toEqual({ offset: '0010', hex: '00 ff', ascii: '..' })
  expect(hexRow(bytes, 1, 8)).toEqual({ offset: '0008', hex: '62 3e c3 a5  c3 a4 c3 b6', ascii: 'b>......' })
  expect(rowCount(new Uint8Array(), 16)).toBe(0)
  expect(hexRow(new Uint8Array(16 * 1024 * 1024), 1024 * 1024 - 1, 16).offset).toBe('0fffff0')
})
