import { expect, test } from 'bun:test'
import { recycledBuffers } from './recycled-buffers.ts'

test('texts of any length are encoded, in memory that was taken back', () => {
  const buffers = recycledBuffers()
  const texts = ['', 'a', 'é😀'.repeat(1000), 'x'.repeat(256 * 1024), 'é'.repeat(128 * 1024 + 1)]
  for (const text of [...texts, ...texts]) {
    const bytes = buffers.encode(text)
    expect(Buffer.from(bytes).equals(Buffer.from(text))).toBe(true)
    buffers.recycle(bytes)
  }
  const first = buffers.encode('first')
  const second = buffers.encode('second')
  expect(first.buffer).not.toBe(second.buffer)
  expect(String(first)).toBe('first')
  buffers.recycle(first)
  expect(buffers.encode('third').buffer).toBe(first.buffer)
  expect(String(second)).toBe('second')
})
