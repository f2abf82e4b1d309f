import { afterEach, expect, mock, spyOn, test } from 'bun:test'
import { newChunk } from '../wal/log-files.ts'
import { encodeRecord } from '../wal/record.ts'
import { addRecord, findRecord, findRecords, memtable, overlayKeys } from './memtable.ts'

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

test('batched reads find what single reads find: keys behind all others, in one memtable or several', () => {
  const keys = ['a', 'b', 'c', 'm', 'x', 'zz', 'é', '日本', '🌍', '\uffff']
  const chunks = [newChunk(64 * 1024), newChunk(64 * 1024)]
  const tables = chunks.map((chunk) => memtable(chunk))
  const ends = [64, 64]
  function add(t: number, collection: string, key: string): void {
    const rest = { contentType: '', node: '', flags: 0, createdAtMs: 0, clock: 0, expiresAtMs: null }
    const end = encodeRecord(chunks[t]!, ends[t]!, {
      ...{ kind: 'put', collection, key, value: '1', position: 1, replaced: null },
      ...rest,
    })
    addRecord(tables[t]!, ends[t]!, collection, key)
    ends[t] = end
  }
  // The last key is in the older memtable in one collection and in the newer one in the other.
  for (const [c, of] of [
    [
      'c',
      [
        ['m', '日本'],
        ['b', 'é', 'a'],
      ],
    ],
    ['d', [['b'], ['x', 'c', '\uffff']]],
  ] as const)
    for (const [t, own] of of.entries()) for (const key of own) add(t, c, key)
  const refs = keys.flatMap((key) => ['c', 'd', 'e'].map((collection) => ({ collection, key })))
  for (const some of [
    refs,
    refs.toReversed(),
    refs.toSorted((a, b) => (a.collection < b.collection ? -1 : 1)),
  ]) {
    const single = some.map(({ collection, key }) => findRecord(tables, collection, key))
    expect(findRecords(tables, some)).toEqual(single)
    expect(single.filter((one) => one !== null)).toHaveLength(9)
  }
})
