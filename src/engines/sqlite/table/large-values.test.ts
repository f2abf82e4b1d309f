import { Database } from 'bun:sqlite'
import { describe, expect, test } from 'bun:test'
import { statSync } from 'node:fs'
import { join } from 'node:path'
import { faultsOfTables, logFiles, newFolder, until, withEngine } from '../../../../test/support/engine.ts'
import {
  collection,
  feedOf,
  noonMs,
  put,
  remove,
  valuesOf,
  write,
} from '../../../../test/support/engine-writes.ts'
import type { Engine } from '../../../core/engine.ts'
import type { Member, Value } from '../../../core/member.ts'
import { maxInlineBytes, pieceBytes } from './schema.ts'

function textOf(bytes: number): string {
  return JSON.stringify('x'.repeat(bytes - 2))
}

function bytesOf(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 31 + (i >> 8)) & 255)
}

/** Sizes on both sides of every bound. */
const sizes = [2, 1000, maxInlineBytes, 2031, 9000, pieceBytes, 2 * pieceBytes, 300_000].flatMap((bytes) =>
  [-25, -1, 0, 1].map((by) => Math.max(2, bytes + by)),
)

async function keysOf(engine: Engine, order: 'asc' | 'desc'): Promise<Member[]> {
  const page = await engine.scan({ collection, from: null, to: null, order, limit: 1000, keysOnly: true })
  return page.members
}

function rowsOf(dir: string, sql: string): unknown[] {
  const db = new Database(join(dir, 'kvist.db'), { readonly: true })
  const rows = db.query(sql).values().flat()
  db.close()
  return rows
}

describe('large values', () => {
  test('are read, listed and fed as they were written, whatever their size and form', async () => {
    const dir = newFolder()
    const values: Record<string, Value> = {}
    for (const [i, bytes] of sizes.entries()) {
      values[`text${i}`] = textOf(bytes)
      values[`bytes${i}`] = bytesOf(bytes)
      values[`wide${i}`] = JSON.stringify('ü\u{1F600}'.repeat(bytes / 6))
    }
    const names = Object.keys(values)
    await withEngine(dir, async (engine) => {
      for (const [key, value] of Object.entries(values)) await write(engine, [put(key, value)])
    })
    expect(faultsOfTables(dir)).toEqual([])
    expect(rowsOf(dir, 'SELECT count(*) FROM value_pieces')[0]).toBeGreaterThan(sizes.length)
    await withEngine(dir, async (engine) => {
      expect(await valuesOf(engine)).toEqual(values)
      for (const key of names) expect((await engine.read(collection, key))?.value).toEqual(values[key]!)
      const many = await engine.readMany(names.map((key) => ({ collection, key })))
      expect(many.map((member) => member?.value)).toEqual(Object.values(values))
      const feed = await feedOf(engine)
      expect(feed.map((change) => change.type === 'put' && change.member.value)).toEqual(
        Object.values(values),
      )
      for (const order of ['asc', 'desc'] as const) {
        const members = await keysOf(engine, order)
        expect(members.every(({ value }) => value === '')).toBe(true)
        const sorted = names.toSorted()
        expect(members.map(({ key }) => key)).toEqual(order === 'asc' ? sorted : sorted.toReversed())
      }
    })
  })

  test('are not read for the heads of their members', async () => {
    const dir = newFolder()
    const value = bytesOf(300_000)
    await withEngine(dir, (engine) => write(engine, [put('k', value)]))
    const db = new Database(join(dir, 'kvist.db'))
    db.run('DELETE FROM value_pieces')
    db.close()
    await withEngine(dir, async (engine) => {
      expect(await engine.readHead(collection, 'k')).toMatchObject({ key: 'k', valueBytes: value.length })
      expect(() => engine.read(collection, 'k')).toThrow('k')
    })
  })

  test('keep every row of the members in its page', async () => {
    const dir = newFolder()
    await withEngine(dir, async (engine) => {
      const longest = {
        collection: 'c'.repeat(128),
        contentType: `text/${'t'.repeat(251)}`,
        flags: 2 ** 34 - 1,
      }
      for (let bytes = 0; bytes < 2300; bytes += 7) {
        const value = bytesOf(bytes)
        const key = `${'k'.repeat(508)}${bytes}`
        await write(engine, [
          { ...put(key, value, noonMs * 1000), ...longest },
          { ...put(`k${bytes}`, value), contentType: longest.contentType },
        ])
      }
    })
    expect(
      rowsOf(dir, "SELECT count(*) FROM dbstat WHERE name = 'members' AND pagetype = 'overflow'"),
    ).toEqual([0])
    expect(rowsOf(dir, 'SELECT count(*) FROM members WHERE large_bytes IS NULL')[0]).toBeGreaterThan(300)
    expect(faultsOfTables(dir)).toEqual([])
  })

  test('go when they are replaced, deleted or expired, and stay when they are renewed', async () => {
    const dir = newFolder()
    const large = textOf(100_000)
    const keys = ['small', 'larger', 'deleted', 'expired', 'renewed', 'renewed, then replaced', 'bytes']
    await withEngine(
      dir,
      async (engine) => {
        const written = await write(
          engine,
          keys.map((key) => put(key, large)),
        )
        const renew = (key: string, expiresAtMs: number) =>
          ({
            op: 'renew',
            collection,
            key,
            expiresAtMs,
            ifRevision: written[keys.indexOf(key)]!.revision,
          }) as const
        await until(() => logFiles(dir).length <= 1, 'they are flushed')
        await write(engine, [
          put('small'),
          put('larger', textOf(200_000)),
          remove('deleted'),
          remove('expired', 'expire'),
          renew('renewed', noonMs + 1),
          renew('renewed, then replaced', noonMs + 1),
          put('bytes', bytesOf(5000)),
        ])
        await write(engine, [renew('renewed', noonMs + 2), put('renewed, then replaced', textOf(70_000))])
        await write(engine, [put('twice in one job', large), put('twice in one job', textOf(3000))])
      },
      { segmentBytes: 4 * 1024 * 1024 },
    )
    expect(faultsOfTables(dir)).toEqual([])
    await withEngine(dir, async (engine) => {
      expect(await valuesOf(engine)).toEqual({
        small: '1',
        larger: textOf(200_000),
        renewed: large,
        'renewed, then replaced': textOf(70_000),
        bytes: bytesOf(5000),
        'twice in one job': textOf(3000),
      })
      expect((await engine.read(collection, 'renewed'))?.expiresAtMs).toBe(noonMs + 2)
    })
  })

  test('leave room that others use', async () => {
    const dir = newFolder()
    const path = join(dir, 'kvist.db')
    let firstBytes = 0
    for (let round = 0; round < 8; round++) {
      await withEngine(dir, (engine) =>
        write(engine, [
          put('k', bytesOf(3_000_000)),
          remove(`k${round - 1}`),
          put(`k${round}`, bytesOf(40_000)),
        ]),
      )
      if (round === 1) firstBytes = statSync(path).size
    }
    // A value is written before the room of the one that it takes the place of is free.
    expect(statSync(path).size).toBeLessThan(firstBytes * 1.1)
    expect(faultsOfTables(dir)).toEqual([])
  })
})
