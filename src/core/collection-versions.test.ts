import { expect, test } from 'bun:test'
import { collectionVersions } from './collection-versions.ts'
import type { Committed } from './member.ts'

function changeIn(collection: string): Committed {
  const tombstone = { key: 'k', revision: 1, cause: 'delete', clock: 0, node: '', removedClock: 0 } as const
  return { type: 'delete', collection, tombstone }
}

test('a version changes with every change of its collection, and of no other', () => {
  const versions = collectionVersions()
  const seen = new Set([versions.of('a')])
  const other = versions.of('b')
  for (let i = 0; i < 100; i++) {
    versions.onCommit([changeIn('c'), changeIn('c'), changeIn('a'), changeIn('c')])
    expect(seen).not.toContain(versions.of('a'))
    seen.add(versions.of('a'))
    expect(versions.of('a')).toBe(versions.of('a'))
    expect(versions.of('b')).toBe(other)
  }
})

test('every collection has another one after a setback, and in another process', () => {
  const versions = collectionVersions()
  const before = [versions.of('a'), versions.of('b')]
  versions.onSetback()
  for (const name of ['a', 'b']) expect(before).not.toContain(versions.of(name))
  expect(before).not.toContain(collectionVersions().of('a'))
})

test('hardly any two collections share one', () => {
  const versions = collectionVersions()
  const names = Array.from({ length: 300 }, (_, i) => `tenant-${i}`)
  for (const name of names) versions.onCommit([changeIn(name)])
  expect(new Set(names.map((name) => versions.of(name))).size).toBeGreaterThan(280)
})
