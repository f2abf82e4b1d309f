import { Database } from 'bun:sqlite'
import { expect, test } from 'bun:test'
import { join } from 'node:path'
import { crc32, crcOfText, memberChecksum } from '../src/engines/sqlite/table/row-checksum.ts'
import { put } from './support/responses.ts'
import { startServer } from './support/server.ts'

/**
 * Stores a value that the two ways of reading do not agree on, with a valid checksum: it is no UTF-8, so SQLite's texts,
 * which are decoded and encoded again to be verified, are other bytes than those in the page.
 */
function storeInvalidText(dataFolder: string, collection: string, key: string): void {
  using db = new Database(join(dataFolder, 'kvist.db'), { readwrite: true })
  const value = Buffer.from([0x22, 0xff, 0x22])
  const [[revision, createdAtMs, clock]] = db
    .query<unknown, [string, string]>(
      'SELECT revision, created_at, clock FROM members WHERE collection = ? AND key = ?',
    )
    .values(collection, key) as [[number, number, number]]
  const crc = crc32(value, 0, value.length, crcOfText(key, crcOfText(collection)))
  const { length } = Buffer.from(collection)
  const keyBytes = Buffer.byteLength(key)
  const checksum = memberChecksum(
    crc,
    length,
    keyBytes,
    0,
    0,
    true,
    revision,
    createdAtMs,
    clock,
    null,
    0,
    null,
  )
  const update = 'UPDATE members SET value = CAST(? AS TEXT), checksum = ? WHERE collection = ? AND key = ?'
  db.query(update).run(value, checksum, collection, key)
}

test('--sqlite-pages checked ends the process when a page and SQLite differ; on serves what the page has', async () => {
  const flags = ['--sqlite-pages', 'checked']
  const first = await startServer({ flags })
  const { dataFolder } = first
  try {
    for (const key of ['good', 'k']) expect((await put(`${first.url}/v1/c/${key}`, '"a"')).status).toBe(201)
    expect(await first.stop()).toBe(0)
    storeInvalidText(dataFolder, 'c', 'k')

    const on = await startServer({ dataFolder })
    expect((await fetch(`${on.url}/v1/c/k`)).status).toBe(200)
    expect(await on.stop()).toBe(0)

    const checked = await startServer({ dataFolder, flags })
    expect(await (await fetch(`${checked.url}/v1/c/good`)).text()).toBe('"a"')
    const response = await fetch(`${checked.url}/v1/c/k`).catch(() => null)
    expect(response).toBeNull()
    expect(await checked.exited).toBe(1)
    expect(checked.output()).toContain('k in c differs: the pages have {')
  } finally {
    await first.remove()
  }
})
