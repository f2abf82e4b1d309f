import { expect, test } from 'bun:test'
import { slotOf } from './slots.ts'

// As redis-server 7.0.15 says with CLUSTER KEYSLOT.
test.each([
  ['123456789', 12_739],
  ['a', 15_495],
  ['', 0],
  ['{user1000}.following', 3443],
  ['foo{}{bar}', 8363],
  ['foo{{bar}}zap', 4015],
  ['foo{bar}{zap}', 5061],
  ['grün', 14_522],
  ['{', 4092],
  ['}{', 12_793],
] as const)('the slot of %p is that of the servers', (key, slot) => {
  expect(slotOf(key)).toBe(slot)
})
