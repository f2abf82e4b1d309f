import { expect, test } from 'bun:test'
import { compareBytes } from './page-format.ts'

test('texts of any length are ordered by their bytes, and a prefix is before what it begins', () => {
  const lengths = [0, 1, 2, 39, 40, 41, 80]
  for (const a of lengths) {
    for (const b of lengths) {
      const [one, other] = [Buffer.alloc(a + 2, 0x61), Buffer.alloc(b + 3, 0x61)]
      for (let at = -1; at < Math.min(a, b); at++) {
        if (at >= 0) one[1 + at] = 0xff
        const expected = one.compare(other, 2, 2 + b, 1, 1 + a)
        expect(Math.sign(compareBytes(one, 1, 1 + a, other, 2, 2 + b))).toBe(expected)
        expect(Math.sign(compareBytes(other, 2, 2 + b, one, 1, 1 + a))).toBe(expected === 0 ? 0 : -expected)
        if (at >= 0) one[1 + at] = 0x61
      }
    }
  }
})
