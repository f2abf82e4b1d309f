import type { Database } from 'bun:sqlite'
import { afterAll, describe, expect, test } from 'bun:test'
import { copyFileSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { isLongRun } from '../../../../test/support/long-run.ts'
import type { MemberRef } from '../../../core/engine.ts'
import type { Member, Value } from '../../../core/member.ts'
import { memberParams, putMemberSql } from '../table/member-row.ts'
import { mappedBytes } from '../table/sql-connection.ts'
import { openReader } from '../table/sql-reader.ts'
import { openForWriting, readStart } from '../table/table.ts'
import type { MemberRowCursor } from '../table/table-reader.ts'
import { guardedPages } from './guarded-pages.ts'
import { pageBytes } from './page-format.ts'
import { openPages } from './pages.ts'
import { maxPrefetched } from './search-keys.ts'

const dir = mkdtempSync(join(tmpdir(), 'kvist-pages-'))
afterAll(() => rmSync(dir, { recursive: true, force: true }))
let files = 0

interface Row {
  readonly collection: string
  readonly member: Member
}

function row(collection: string, key: string, value: Value, more: Partial<Member> = {}): Row {
  const times = { revision: 7, createdAtMs: 1_700_000_000_000, clock: 3.5e15, expiresAtMs: null }
  return {
    collection,
    member: { key, value, ...times, node: '', contentType: 'application/json', flags: 0, ...more },
  }
}

/** Writes rows as the flusher does, and leaves them in the file alone. */
function fill(rows: readonly Row[]): string {
  const path = join(dir, `${++files}.db`)
  const db = openForWriting(path)
  insert(db, rows)
  db.close()
  return path
}

function insert(db: Database, rows: readonly Row[]): void {
  const put = db.query(putMemberSql)
  db.run('BEGIN')
  for (const { collection, member } of rows) put.run(...memberParams(collection, member, null))
  db.run('COMMIT')
}

function open(path: string, maxIndexBytes?: number) {
  return openPages(path, readStart(path).roots, noLargeValue, maxIndexBytes)
}

function noLargeValue(): never {
  throw new Error('no large value is stored')
}

function all(rows: MemberRowCursor, limit = Number.POSITIVE_INFINITY, keysOnly = false): Member[] {
  const members: Member[] = []
  while (members.length < limit && rows.next()) members.push(rows.member(keysOnly))
  rows.close()
  return members
}

/** What was read is read by another way the next time. */
const times = 2
/** Of indexes: for all pages, for some, for none. */
const rooms = [undefined, 3000, 0]

const entriesOf = (refs: MemberRef[]) => [...refs.entries()]

describe('members read from the pages', () => {
  test('have every part, of every form', () => {
    const rows = [
      row('c', 'plain', '{"a": 1.0}'),
      row('c', 'é\0/\u{1F600}', '"ü \u{1F600}"', { expiresAtMs: 1_800_000_000_000 }),
      row(
        'c',
        'bytes',
        Uint8Array.from({ length: 256 }, (_, i) => i),
        {
          contentType: 'image/png',
          flags: 2 ** 34 - 1,
        },
      ),
      row('c', 'empty', new Uint8Array(), { contentType: 'text/plain', node: 'elsewhere', flags: 1 }),
      row('__proto__', 'constructor', '1', { revision: 2 ** 53 - 1, clock: 2 ** 53 - 1 }),
    ]
    for (const revision of [
      0,
      1,
      127,
      128,
      2 ** 15,
      2 ** 23 - 1,
      2 ** 23,
      2 ** 31 - 1,
      2 ** 31,
      2 ** 47,
      2 ** 48,
    ])
      rows.push(
        row('numbers', `k${revision}`, '1', { revision, createdAtMs: revision, expiresAtMs: revision }),
      )
    const pages = open(fill(rows))
    for (let time = 0; time < times; time++) {
      for (const { collection, member } of rows) expect(pages.read(collection, member.key)).toEqual(member)
      for (const { collection, member } of rows) {
        const { revision, createdAtMs, expiresAtMs } = member
        const bytes = Buffer.byteLength(member.key) + Buffer.from(member.value).length
        expect(pages.existing(collection, member.key)).toEqual({ revision, createdAtMs, expiresAtMs, bytes })
      }
      expect(pages.existing('c', 'é')).toBeNull()
      expect(pages.read('c', 'é')).toBeNull()
      expect(pages.read('d', 'plain')).toBeNull()
      expect(pages.read('cp', 'lain')).toBeNull()
    }
    pages.close()
    pages.close()
    expect(pages.read('c', 'plain')).toBeUndefined()
    expect(pages.existing('c', 'plain')).toBeUndefined()
  })

  test('are those of SQLite, whatever names, keys and values there are', () => {
    const name = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 40, size: 'max' })
    const names = fc.oneof(
      fc.constantFrom('a', 'ab', 'b', 'x'.repeat(57), 'x'.repeat(58), 'x'.repeat(128)),
      name,
    )
    const key = fc.oneof(
      fc.nat(3000).map((n) => `key-${n}`),
      fc.string({ unit: 'grapheme', minLength: 1, maxLength: 100, size: 'max' }),
      fc.nat(600).map((n) => 'k'.repeat(n + 1)),
    )
    const value = fc.oneof(
      fc.nat(300).map((length) => `"${'x'.repeat(length)}"`),
      {
        weight: 1,
        arbitrary: fc.integer({ min: 900, max: 2100 }).map((length) => `"${'x'.repeat(length)}"`),
      },
      fc.json(),
      fc.uint8Array({ maxLength: 200, size: 'max' }),
    )
    const rows = fc.array(
      fc
        .tuple(names, key, value, fc.nat())
        .map(([collection, own, content, revision]) => row(collection, own, content, { revision })),
      { minLength: 1, maxLength: 2000, size: 'max' },
    )
    fc.assert(
      fc.property(rows, (some) => {
        const path = fill(some)
        const reader = openReader(path, mappedBytes.usual)
        for (const room of rooms) {
          const pages = open(path, room)
          for (let time = 0; time < times; time++) {
            for (const { collection, member } of some) {
              const found = pages.read(collection, member.key)
              const stored = reader.read(collection, member.key)!
              if (found !== undefined) expect(found).toEqual(stored)
              else expect(stored.key.length + stored.value.length).toBeGreaterThan(600)
              const existing = pages.existing(collection, member.key)
              if (found === undefined) expect(existing).toBeUndefined()
              else expect(existing).toEqual(reader.existing(collection, member.key)!)
              const other = `${member.key}!`
              expect(pages.existing(collection, other)).toEqual(reader.existing(collection, other))
              expect(pages.read(collection, other)).toEqual(reader.read(collection, other))
            }
          }
          const refs = some.flatMap(({ collection, member: { key } }) => [
            { collection, key },
            { collection, key: `${key}!` },
          ])
          for (const inOrder of [entriesOf, (some: MemberRef[]) => entriesOf(some).toReversed()]) {
            for (let from = 0; from < refs.length; from += maxPrefetched) {
              const some = refs.slice(from, from + maxPrefetched)
              pages.prefetch(some)
              for (const [i, { collection, key }] of inOrder(some)) {
                const found = pages.read(collection, key, i + 1)
                if (found !== undefined) expect(found).toEqual(reader.read(collection, key))
                const existing = pages.existing(collection, key, i + 1)
                if (found !== undefined) expect(existing).toEqual(reader.existing(collection, key))
                // One in between that was not prefetched.
                if (i % 50 === 0) expect(pages.read(collection, `${key}?`) ?? null).toBeNull()
              }
            }
          }
          pages.close()
        }
        reader.close()
        rmSync(path)
      }),
      { numRuns: 15, endOnFailure: true },
    )
  })

  test('are walked in order, from any key to any other, as SQLite does', () => {
    const names = ['a', 'ab', 'b', 'é', 'x'.repeat(128)]
    const key = fc.oneof(
      fc.nat(3000).map((n) => `key-${n}`),
      fc.string({ unit: 'grapheme', minLength: 1, maxLength: 60, size: 'max' }),
      fc.nat(600).map((n) => 'k'.repeat(n + 1)),
    )
    const length = fc.oneof({ weight: 20, arbitrary: fc.nat(300) }, fc.integer({ min: 900, max: 1990 }))
    const member = fc
      .tuple(fc.constantFrom(...names), key, length)
      .map(([collection, own, units]) => row(collection, own, `"${'x'.repeat(units)}"`))
    const bound = fc.option(key, { nil: null })
    const range = fc.record({
      collection: fc.constantFrom(...names, 'aa'),
      from: bound,
      to: bound,
      order: fc.constantFrom('asc', 'desc'),
    })
    fc.assert(
      fc.property(
        fc.array(member, { minLength: 1, maxLength: 3000, size: 'max' }),
        fc.array(range, { minLength: 30, maxLength: 30 }),
        (members, ranges) => {
          const path = fill(members)
          const reader = openReader(path, mappedBytes.usual)
          const pages = open(path)
          for (const range of ranges) {
            const stored = all(reader.scan(range))
            const found = pages.scan(range, all)
            if (found !== undefined) expect(found).toEqual(stored)
            else
              expect(members.some(({ member }) => member.key.length + member.value.length > 1800)).toBe(true)
            const few = pages.scan(range, (rows) => all(rows, 3, true))
            if (few !== undefined)
              expect(few.map(({ key }) => key)).toEqual(stored.slice(0, 3).map(({ key }) => key))
          }
          pages.close()
          expect(pages.scan(ranges[0]!, all)).toBeUndefined()
          reader.close()
          rmSync(path)
        },
      ),
      { numRuns: 15, endOnFailure: true },
    )
  })

  test('are found together whatever the length of their keys', () => {
    const keys = Array.from({ length: 8000 }, (_, i) => `${i}${i % 11 === 0 ? 'k'.repeat(300) : ''}`)
    const path = fill(keys.map((key) => row('c', key, `"${key}"`)))
    for (const room of rooms) {
      const pages = open(path, room)
      for (let time = 0; time < times; time++) for (const key of keys) pages.read('c', key)
      for (let from = 0; from < keys.length; from += maxPrefetched) {
        const some = keys.slice(from, from + maxPrefetched)
        pages.prefetch(some.map((key) => ({ collection: 'c', key })))
        for (const [i, key] of some.entries()) expect(pages.read('c', key, i + 1)?.value).toBe(`"${key}"`)
      }
      pages.close()
    }
  })

  test('are distinguished where a name and a key read as another name and key', () => {
    const names = Array.from({ length: 30 }, (_, i) => 'a'.repeat(i + 1))
    const texts = Array.from({ length: 3000 }, (_, i) => `${'a'.repeat(30)}k${i}`)
    const rows = names.flatMap((name) => texts.map((text) => row(name, text.slice(name.length), `"${name}"`)))
    const path = fill(rows)
    for (const room of rooms) {
      const pages = open(path, room)
      for (let time = 0; time < times; time++)
        for (const { collection, member } of rows) expect(pages.read(collection, member.key)).toEqual(member)
      for (const text of texts) expect(pages.read('a', text)).toBeNull()
      pages.close()
    }
  })

  test('of which one is longer than a page holds, or nearly so, are left to SQLite and no others', () => {
    const lengths = Array.from({ length: 200 }, (_, i) => 1900 + i)
    const pages = open(fill(lengths.map((length) => row('c', `k${length}`, 'x'.repeat(length)))))
    for (let time = 0; time < times; time++) {
      const read = lengths.map((length) => pages.read('c', `k${length}`))
      const missing = read.indexOf(undefined)
      expect(missing).toBeGreaterThan(50)
      expect(read.slice(0, missing).map((member) => member?.value.length)).toEqual(lengths.slice(0, missing))
      expect(read.slice(missing).every((member) => member === undefined)).toBe(true)
    }
    pages.close()
  })

  test('are not read while somebody writes, nor before what was written is in the file', () => {
    const path = fill([row('c', 'k', '1')])
    const pages = open(path)
    expect(pages.read('c', 'k')?.value).toBe('1')
    pages.pause()
    expect(pages.read('c', 'k')).toBeUndefined()
    const db = openForWriting(path)
    insert(db, [row('c', 'k', '2')])
    pages.resume()
    expect(pages.read('c', 'k')).toBeUndefined()
    db.run('PRAGMA wal_checkpoint(TRUNCATE)')
    pages.resume()
    expect(pages.read('c', 'k')?.value).toBe('2')
    pages.close()
    db.close()
  })

  test('are read when the file has all of the log, before that is truncated, and not once another program moves some', () => {
    const path = fill([row('c', 'k', '1')])
    const db = openForWriting(path)
    const pages = guardedPages(path, open(path), () => {})
    const commit = (value: string) => {
      pages.jobBegins()
      insert(db, [row('c', 'k', value)])
      pages.jobEnded(1)
    }
    const move = () => db.run('PRAGMA wal_checkpoint(FULL)')
    commit('2')
    pages.pause()
    move()
    pages.resume(true)
    expect(pages.read('c', 'k')?.value).toBe('2')
    db.run('PRAGMA wal_checkpoint(TRUNCATE)')
    expect(pages.read('c', 'k')?.value).toBe('2')
    commit('3')
    move()
    expect(pages.read('c', 'k')).toBeUndefined()
    pages.close()
    db.close()
  })

  test('are as they are when they are read, whatever they were when that was prefetched', () => {
    const rows = Array.from({ length: 300 }, (_, i) => row('c', `k${i}`, '1'))
    const path = fill(rows)
    const pages = open(path)
    const db = openForWriting(path)
    for (let round = 0; round < 3; round++) {
      for (let time = 0; time < times; time++) for (const { member } of rows) pages.read('c', member.key)
      pages.prefetch(
        rows.slice(0, maxPrefetched).map(({ collection, member: { key } }) => ({ collection, key })),
      )
      expect(pages.read('c', 'k0', 1)).toBeDefined()
      pages.pause()
      expect(pages.read('c', 'k1', 2)).toBeUndefined()
      db.run('DELETE FROM members')
      const values = rows
        .filter((_, i) => i % 3 !== round)
        .map(({ member }) => row('c', member.key, `${round}`))
      insert(db, values)
      db.run('PRAGMA wal_checkpoint(TRUNCATE)')
      pages.resume()
      for (const [i, { member }] of rows.entries())
        expect(pages.read('c', member.key, Math.min(i + 1, maxPrefetched))?.value ?? null).toBe(
          i % 3 === round ? null : `${round}`,
        )
    }
    pages.close()
    db.close()
  })

  test('are found again after the file has grown and every page is another', () => {
    const path = fill([row('c', 'key-0', '0')])
    const pages = open(path)
    const db = openForWriting(path)
    for (let round = 1; round <= 4; round++) {
      pages.pause()
      const rows = Array.from({ length: 3000 }, (_, i) => row('c', `key-${i * round}`, String(round)))
      insert(db, rows)
      db.run('PRAGMA wal_checkpoint(TRUNCATE)')
      pages.resume()
      for (let time = 0; time < times; time++)
        for (const { member } of rows) expect(pages.read('c', member.key)?.value).toBe(String(round))
    }
    pages.close()
    db.close()
  })

  test('of a file that is damaged anywhere end in a result or an error', () => {
    const seed = Number(process.env.KVIST_SEED) || Math.floor(Math.random() * 2 ** 32)
    console.log(`KVIST_SEED=${seed}`)
    let state = seed
    const random = (below: number) => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0
      return Math.floor((state / 2 ** 32) * below)
    }
    const rows = Array.from({ length: 3000 }, (_, i) =>
      row(i % 2 ? 'c' : 'dd', `key-${i}`, 'x'.repeat(i % 400)),
    )
    const good = fill(rows)
    const root = readStart(good).roots
    const size = statSync(good).size
    for (let round = 0; round < (isLongRun ? 60 : 18); round++) {
      const path = join(dir, 'damaged.db')
      copyFileSync(good, path)
      const bytes = readFileSync(path)
      for (let i = 0; i < 400; i++) {
        // Heads of pages are where damage leads furthest, and from the last there is nothing to read on in.
        const page = round % 3 === 0 ? size / pageBytes - 1 : random(size / pageBytes - 1) + 1
        bytes[page * pageBytes + random(round % 2 ? 40 : pageBytes)] = random(256)
      }
      writeFileSync(path, bytes)
      const readDamaged = (collection: string, member: Member, slot?: number) => {
        try {
          const found = pages.read(collection, member.key, slot)
          if (found) expect(found).toEqual(member)
        } catch (error) {
          expect(error).toMatchObject({ code: 'damaged' })
        }
      }
      const pages = openPages(path, root, noLargeValue, rooms[Math.floor(round / 6) % rooms.length])
      for (let time = 0; time < times; time++) {
        for (const { collection, member } of rows) readDamaged(collection, member)
        for (let from = 0; from < rows.length; from += maxPrefetched) {
          const some = rows.slice(from, from + maxPrefetched)
          pages.prefetch(some.map(({ collection, member: { key } }) => ({ collection, key })))
          for (const [i, { collection, member }] of some.entries()) readDamaged(collection, member, i + 1)
        }
      }
      pages.close()
    }
  })
})
