import { Database } from 'bun:sqlite'
import { expect } from 'bun:test'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Engine } from '../../src/core/engine.ts'
import type { Member } from '../../src/core/member.ts'
import { newFolder } from './engine.ts'
import { noonMs } from './engine-writes.ts'

/** A data folder as the last kvist before format 3 left it: tables, and a log that was not flushed when it was killed. */
export function formatTwoFolder(): string {
  const source = join(import.meta.dir, '../fixtures/format-2')
  const dir = newFolder()
  mkdirSync(dir, { recursive: true })
  for (const name of readdirSync(source))
    writeFileSync(join(dir, name.replace(/\.gz$/, '')), Bun.gunzipSync(readFileSync(join(source, name))))
  return dir
}

/** More members in its tables, of collection `more`: `key-00000` and so on, some of them large. */
export function addMembers(dir: string, count: number, largeBytes: number): void {
  const db = new Database(join(dir, 'kvist.db'), { readwrite: true })
  const numbers = `WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < ${count - 1})`
  const revision = "i + 1 + (SELECT value FROM meta WHERE name = 'applied_revision')"
  const value = `CASE WHEN i % 50 = 0 THEN CAST(zeroblob(${largeBytes}) AS BLOB) ELSE '{"n": ' || i || '}' END`
  db.run('BEGIN')
  db.run(`INSERT INTO feed ${numbers} SELECT ${revision}, 'more', printf('key-%05d', i), NULL FROM n`)
  db.run(`INSERT INTO members ${numbers}
    SELECT 'more', printf('key-%05d', i), ${value}, ${revision}, 0, 0, NULL, NULL, 0, NULL FROM n`)
  db.run(`INSERT INTO feed_blocks
    SELECT collection, revision / 4096, count(*) FROM feed WHERE collection = 'more' GROUP BY 1, 2`)
  db.run(`INSERT INTO collections SELECT collection, count(*), sum(octet_length(key) + octet_length(value))
    FROM members WHERE collection = 'more'`)
  db.run("DELETE FROM meta WHERE name = 'applied_revision'")
  db.run("INSERT INTO meta SELECT 'applied_revision', max(revision) FROM feed")
  db.run('COMMIT')
  db.close()
}

const dayMs = 86_400_000

/** Holds an engine to all that the folder's log and tables say. */
export async function expectFormatTwo(engine: Engine): Promise<void> {
  const read = (collection: string, key: string) => engine.read(collection, key)
  for (let i = 5; i < 100; i++) {
    const member = await read('things', `k${String(i).padStart(3, '0')}`)
    expect(member?.value).toBe(`{"number": ${i}}`)
    expect(member?.expiresAtMs).toBe(i % 10 === 0 ? noonMs + dayMs * (i + 1) : null)
  }
  expect((await read('things', 'k001'))?.value).toBe('"back"')
  expect(await read('things', 'k002')).toBeNull()
  expect((await engine.tombstone('things', 'k002'))?.cause).toBe('expire')
  expect((await engine.tombstone('things', 'k004'))?.cause).toBe('delete')
  expect((await read('things', 'k003'))?.value).toBe('"again"')
  expect((await read('things', 'é\u{1F600}/ß'))?.value).toBe('"ü \u{1F600}"')
  expect((await read('things', 'fresh'))?.value).toBe('"in the log"')
  const large = (key: string, expected: Partial<Member>) =>
    Promise.resolve(read('large', key)).then((member) => expect(member).toMatchObject(expected))
  await large('bytes-40k', { value: bytesOf(40_000), contentType: 'image/png', flags: 7 })
  await large('bytes-3k', { value: bytesOf(3000), contentType: 'application/octet-stream' })
  await large('json-5k', { value: JSON.stringify('y'.repeat(6000)) })
  await large('json-unicode', { value: JSON.stringify('ü'.repeat(2000)), contentType: 'application/ld+json' })
  await large('renewed', { value: JSON.stringify('r'.repeat(4000)), expiresAtMs: noonMs + 5000 })
  expect(await read('large', 'gone')).toBeNull()
  for (let i = 0; i < 20; i++) await large(`edge-${i}`, { value: JSON.stringify('e'.repeat(1560 + i * 10)) })
}

function bytesOf(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 7 + (i >> 8)) & 255)
}
