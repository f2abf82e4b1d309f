import { expect, test } from 'bun:test'
import { join } from 'node:path'
import { faultOf, flushedRevision, newFolder, until, withEngine } from '../../../../test/support/engine.ts'
import { collection, put, remove, write } from '../../../../test/support/engine-writes.ts'
import type { Engine } from '../../../core/engine.ts'
import { damagedMember } from '../table/damage.ts'
import type { MemberRowCursor, TableReader } from '../table/table-reader.ts'
import { checkedPages, noPages } from './guarded-pages.ts'
import type { PageReader } from './pages.ts'

const count = 3000

async function fill(dir: string): Promise<void> {
  await withEngine(dir, (engine) =>
    write(
      engine,
      Array.from({ length: count }, (_, i) => put(`k${i}`, `{"n": ${i}}`)),
    ),
  )
}

/** What somebody does with the shell of SQLite while a server runs; the next tick sees it. */
async function shell(dir: string, sql: string): Promise<void> {
  const done = Bun.spawnSync(['sqlite3', join(dir, 'kvist.db'), sql])
  if (!done.success) throw new Error(done.stderr.toString())
  await new Promise((resolve) => setImmediate(resolve))
}

async function expectAll(engine: Engine, but: readonly string[] = []): Promise<void> {
  for (let i = 0; i < count; i++) {
    if (but.includes(`k${i}`)) continue
    expect((await engine.read(collection, `k${i}`))?.value).toBe(`{"n": ${i}}`)
  }
}

test('what another program writes to the file is noticed: pages are left to SQLite, and nothing wrong is served', async () => {
  const dir = newFolder()
  await fill(dir)
  const lines: string[] = []
  await withEngine(
    dir,
    async (engine) => {
      await expectAll(engine)
      // Pages change places, and the tree of the members begins elsewhere.
      await shell(
        dir,
        'CREATE TABLE other (a); INSERT INTO other VALUES (zeroblob(3000000)); DROP TABLE other; VACUUM;',
      )
      await expectAll(engine)
      expect(lines.filter((line) => line.includes('another program wrote to'))).toHaveLength(1)
      await shell(
        dir,
        `UPDATE members SET value = '{"n": 7}' WHERE key = 'k8'; DELETE FROM members WHERE key = 'k9'`,
      )
      expect(await faultOf((async () => engine.read(collection, 'k8'))())).toMatchObject({ code: 'damaged' })
      await expectAll(engine, ['k8', 'k9'])
      await write(engine, [put('new'), remove('k1')])
      await until(() => flushedRevision(dir) === count + 2, 'the tables have it')
      expect((await engine.read(collection, 'new'))?.value).toBe('1')
      expect(await engine.read(collection, 'k1')).toBeNull()
      await expectAll(engine, ['k1', 'k8', 'k9'])
      expect(lines.filter((line) => line.includes('another program wrote to'))).toHaveLength(1)
    },
    { pages: 'on', warn: (line) => lines.push(line) },
  )
})

test('jobs of the flusher are not taken for another program', async () => {
  const dir = newFolder()
  const lines: string[] = []
  await withEngine(
    dir,
    async (engine) => {
      for (let round = 0; round < 6; round++) {
        await write(engine, [put('k', `${round}`), put(`gone${round}`), remove(`gone${round}`)])
        await engine.snapshot(join(dir, `copy${round}`))
        expect((await engine.read(collection, 'k'))?.value).toBe(`${round}`)
        if (round % 2 === 0) await engine.forget(Number.MAX_SAFE_INTEGER, 10)
        await shell(dir, 'SELECT count(*) FROM members')
      }
    },
    { pages: 'on', warn: (line) => lines.push(line), segmentBytes: 4096 },
  )
  expect(lines.filter((line) => line.includes('another program'))).toEqual([])
})

test('a store is read without its pages, and with both', async () => {
  for (const pages of ['off', 'checked'] as const) {
    const dir = newFolder()
    await fill(dir)
    await withEngine(
      dir,
      async (engine) => {
        await expectAll(engine)
        expect(await engine.read(collection, 'never')).toBeNull()
        await write(engine, [put('k0', '{"n": 0}'), put('other')])
        await until(() => flushedRevision(dir) === count + 2, 'the tables have it')
        await expectAll(engine)
      },
      { pages },
    )
  }
})

test('both measure a page of text in bytes: a comparison of pages that end by their size finds no difference', async () => {
  const dir = newFolder()
  const text = `"${'ü'.repeat(700)}"`
  await withEngine(dir, (engine) => write(engine, [put('a', text), put('b', text), put('c', text)]))
  const range = {
    collection,
    from: null,
    to: null,
    limit: 10,
    keysOnly: false,
    maxBytes: text.length * 2,
  } as const
  await withEngine(
    dir,
    async (engine) => {
      for (const order of ['asc', 'desc'] as const)
        expect(await engine.scan({ ...range, order })).toMatchObject({ members: { length: 1 }, isCut: true })
    },
    { pages: 'checked' },
  )
})

test('a difference between the pages and SQLite is reported', () => {
  const member = {
    ...{ key: 'k', value: '1', revision: 1, createdAtMs: 1, clock: 1, node: '', expiresAtMs: null },
    ...{ contentType: 'application/json', flags: 0 },
  }
  const range = { collection: 'c', from: 'a', to: null, order: 'asc' } as const
  const rowOf = (row: typeof member) =>
    ({ key: 'k', member: () => row, close() {} }) as unknown as MemberRowCursor
  const pages: PageReader = {
    ...{ ...noPages(), read: () => member, existing: () => null },
    scan: (_range, use) => use(rowOf(member)),
    visit(_ref, _slot, visitor) {
      const bytes = Buffer.from('k1')
      visitor.stored({ ...member, bytes, keyAt: 0, keyEnd: 1, valueAt: 1, valueEnd: 2 })
      return 1
    },
  }
  const reported: string[] = []
  const stored = { ...member, value: '2' }
  const reader = {
    ...{ read: () => stored, existing: () => null, scan: () => rowOf(stored) },
  } as unknown as TableReader
  const checked = checkedPages(pages, reader, (line) => reported.push(line))
  checked.read('c', 'k')
  checked.existing('c', 'k')
  expect(reported).toHaveLength(1)
  expect(reported[0]).toMatch(/^k in c differs: the pages have .*"1".*, SQLite has .*"2"/)
  checked.visit({ collection: 'c', key: 'k' }, 1, { stored() {}, undo() {}, member() {} })
  expect(reported.pop()).toMatch(/^k in c differs: the pages have .*"1".*, SQLite has .*"2"/)
  checked.scan(range, (rows) => rows.key)
  expect(reported).toHaveLength(1)
  checked.scan(range, (rows) => rows.member(false))
  expect(reported.pop()).toMatch(
    /^the range from a to the end of c differs: the pages have .*"1".*, SQLite has .*"2"/,
  )

  const damaged = (): never => {
    throw damagedMember('c', 'k', 'the checksum of its row does not match')
  }
  const damagedReader = { read: damaged, existing: damaged } as unknown as TableReader
  const again = checkedPages(pages, damagedReader, (line) => reported.push(line))
  again.read('c', 'k')
  again.existing('c', 'k')
  expect(reported).toHaveLength(3)
  expect(reported[2]).toMatch(/^k in c differs: the pages have null, SQLite has .*is damaged/)
})
