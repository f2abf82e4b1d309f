import { expect, test } from 'bun:test'
import { faultOf } from '../../../test/support/engine.ts'
import { put, write } from '../../../test/support/engine-writes.ts'
import { conformance } from '../conformance.ts'
import { openMemory } from './engine.ts'

conformance('the memory engine', async ({ onCommit }) => openMemory({ onCommit }), {
  commitSpans: 'store',
  isDurable: false,
})

test('what was remembered of an earlier store matches nothing of a later one', async () => {
  const earlier = openMemory({ onCommit() {}, firstRevision: 1000 })
  const [first] = await write(earlier, [put('a'), put('b')])
  expect(first?.revision).toBe(1000)
  const { next: midway } = await earlier.changes('', 1)
  const later = openMemory({ onCommit() {}, firstRevision: 5000 })
  for (let i = 0; i < 3; i++) {
    for (const cursor of ['1', '999', midway, earlier.head()]) {
      const fault = await faultOf((async () => later.changes(cursor, 10))())
      expect([cursor, fault.code, fault.extra.oldest]).toEqual([cursor, 'compacted', '4999'])
    }
    await write(later, [put(`k${i}`)])
  }
  const { changes, next } = await later.changes('', 10)
  expect([changes.length, next]).toEqual([3, '5002'])
  expect((await later.changes('4999', 10)).changes).toHaveLength(3)
})
