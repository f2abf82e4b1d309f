import { afterAll, expect, test } from 'bun:test'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { memberParams, putMemberSql } from '../table/member-row.ts'
import { openForWriting, readStart } from '../table/table.ts'
import { PageCursor } from './cursor.ts'
import { mapFile } from './mapped-file.ts'
import { MappedTree } from './mapped-tree.ts'
import { absentRow, Prefetcher } from './prefetch.ts'
import { SearchKeys } from './search-keys.ts'
import { TreeCheck } from './tree-check.ts'

const dir = mkdtempSync(join(tmpdir(), 'kvist-prefetch-'))
afterAll(() => rmSync(dir, { recursive: true, force: true }))

test('rows are found below pages that have no index, because they have rows of several collections', () => {
  const path = join(dir, 'kvist.db')
  const db = openForWriting(path)
  const put = db.query(putMemberSql)
  const refs = ['a', 'b', 'c'].flatMap((collection) =>
    Array.from({ length: 3000 }, (_, i) => ({ collection, key: `key-${i}` })),
  )
  const numbers = { revision: 1, createdAtMs: 0, clock: 0, expiresAtMs: null, flags: 0 }
  db.run('BEGIN')
  for (const { collection, key } of refs) {
    const member = { key, value: '"x"', node: '', contentType: 'application/json', ...numbers }
    put.run(...memberParams(collection, member, null))
  }
  db.run('COMMIT')
  db.run('PRAGMA wal_checkpoint(TRUNCATE)')
  db.close()
  const { roots } = readStart(path)

  const file = mapFile(path)!
  const tree = new MappedTree(roots.members)
  const { windows, bytes } = file.windows()
  expect(tree.reload(windows, bytes)).toBe(true)
  const searchKeys = new SearchKeys()
  const cursor = new PageCursor(tree, searchKeys, new TreeCheck(tree, roots))
  const prefetcher = new Prefetcher(tree, searchKeys, cursor)
  for (const { collection, key } of refs) {
    searchKeys.set(0, collection, key)
    searchKeys.select(0)
    expect(cursor.seek()).toBeGreaterThan(0)
  }
  expect(tree.indexes.of(tree.root)).toBe(0)
  let found = 0
  for (const ref of refs) {
    prefetcher.prefetch([ref])
    if (prefetcher.rowOf(1) > absentRow) found++
  }
  // The others are in the pages above the leaves.
  expect(found / refs.length).toBeGreaterThan(0.95)
  file.close()
})
