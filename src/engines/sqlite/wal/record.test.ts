import { expect, test } from 'bun:test'
import { newChunk } from './log-files.ts'
import { encodeRecord, recordCollection } from './record.ts'

test('each record has the name of its own collection, whatever the one that was read before', () => {
  // Of some the characters are the bytes of others.
  const names = ['a', 'b', 'a', 'Ã©', 'é', 'Ã©', 'é', 'ab', 'é', 'a', 'a', '日本', '日本']
  const chunk = newChunk(names.length * 100 + 8)
  let at = 8
  for (const collection of names) {
    const end = encodeRecord(chunk, at, {
      kind: 'put',
      collection,
      key: 'k',
      value: '1',
      contentType: '',
      node: '',
      flags: 0,
      position: 1,
      createdAtMs: 0,
      clock: 0,
      expiresAtMs: null,
      replaced: null,
    })
    expect(recordCollection(chunk, at)).toBe(collection)
    at = end
  }
})
