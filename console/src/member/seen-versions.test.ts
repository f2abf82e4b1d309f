import { expect, test } from 'bun:test'
import { type SeenVersion, withVersion } from './seen-versions.ts'
import type { Version } from './version.ts'

function seen(revision: number, bytes: number): SeenVersion {
  const version: Version = {
    revision,
    bytes,
    contentType: 'text/plain',
    value: new Uint8Array(bytes),
    text: 'x'.repeat(bytes),
    createdAt: null,
    updatedAt: null,
    expiresAt: null,
    flags: 0,
    origin: null,
  }
  return { revision, atMs: 0, type: 'put', version }
}

test('at most 50 are kept, the newest, in their order', () => {
  let all: readonly SeenVersion[] = []
  for (let revision = 1; revision <= 60; revision++) all = withVersion(all, seen(revision, 1))
  expect(all.map(({ revision }) => revision)).toEqual(Array.from({ length: 50 }, (_, i) => 60 - i))
  expect(withVersion(all, seen(55.5, 1))[5]!.revision).toBe(55.5)
})

test('together they have at most a megabyte, and a large one is kept without its value', () => {
  let all: readonly SeenVersion[] = []
  for (let revision = 1; revision <= 10; revision++) all = withVersion(all, seen(revision, 200_000))
  expect(all.map(({ revision }) => revision)).toEqual([10, 9, 8, 7, 6])
  all = withVersion(all, seen(11, 300_000))
  expect(all).toHaveLength(6)
  expect(all[0]!.version).toMatchObject({ bytes: 300_000, value: null, text: null })
})
