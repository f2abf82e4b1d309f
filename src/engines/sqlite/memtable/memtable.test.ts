import { afterEach, expect, mock, spyOn, test } from 'bun:test'
import { newChunk } from '../wal/log-files.ts'
import { encodeRecord } from '../wal/record.ts'
import { addRecord, findRecord, memtable, overlayKeys } from './memtable.ts'

afterEach(() => mock.restore())

test('members whose hashes are equal are distinguished by their names and keys', () => {
  // Every step of the hash multiplies: all hashes are 0.
  spyOn(Math, 'imul').mockReturnValue(0)
  // Of some names and keys the UTF-16 units are the UTF-8 bytes of others, and some read the same when joined.
  const texts = ['é', 'Ã©', 'Ã\u0083Â©', 'e', 'ab', 'a', 'b', '日本', 'æ\u0097¥æ\u009c¬', '日']
  const chunk = newChunk(64 * 1024)
  const table = memtable(chunk)
  const offsets = new Map<string, number>()
  let at = 64
  for (const collection of texts) {
    for (const key of texts) {
      const rest = { contentType: '', node: '', flags: 0, createdAtMs: 0, clock: 0, expiresAtMs: null }
      const position = offsets.size + 1
      const end = encodeRecord(chunk, at, {
        ...{ kind: 'put', collection, key, value: '1', position, replaced: null },
        ...rest,
      })
      offsets.set(`${collection}/${key}`, at)
      addRecord(table, at, collection, key)
      at = end
    }
  }
  for (const collection of texts) {
    for (const key of texts) {
      const found = findRecord([table], collection, key)
      expect([collection, key, found?.at]).toEqual([collection, key, offsets.get(`${collection}/${key}`)])
    }
    expect([...overlayKeys([table], collection, null, null, 'asc')].toSorted()).toEqual(texts.toSorted())
    expect(findRecord([table], collection, 'Ã')).toBeNull()
  }
  expect(findRecord([table], 'Ã', 'é')).toBeNull()
})
