import { Database } from 'bun:sqlite'
import { expect, test } from 'bun:test'
import { join } from 'node:path'
import { faultOf, flushedRevision, newFolder, until, withEngine } from '../../../test/support/engine.ts'
import { collection, noonMs, put, remove, write } from '../../../test/support/engine-writes.ts'
import { EncodedRef } from '../../core/encoded-ref.ts'
import type { Put, ScanRange } from '../../core/engine.ts'
import type { Member } from '../../core/member.ts'
import type { MemberVisitor, StoredJson } from '../../core/member-visitor.ts'
import type { SqliteEngine } from './engine.ts'

/** Members that are visited where they lie, in the mapped pages. */

/** Keeps what it was shown: rows as `Shown`, others as they are. */
class Recorder implements MemberVisitor {
  readonly shown: (Shown | Member | null)[] = []
  rows = 0
  undone = 0

  stored(row: StoredJson): void {
    const { bytes, keyAt, keyEnd, valueAt, valueEnd, revision, createdAtMs, clock, flags } = row
    const [key, value] = [bytes.toString('utf8', keyAt, keyEnd), bytes.toString('utf8', valueAt, valueEnd)]
    this.shown.push({ key, value, revision, createdAtMs, clock, flags })
    this.rows++
  }

  undo(): void {
    this.shown.pop()
    this.rows--
    this.undone++
  }

  member(member: Member | null, index: number): void {
    expect(index).toBe(this.shown.length)
    this.shown.push(member)
  }
}

type Shown = Pick<Member, 'key' | 'value' | 'revision' | 'createdAtMs' | 'clock' | 'flags'>

const odd: readonly Put[] = [
  put('expires', '1', noonMs + 1000),
  put('bytes', new Uint8Array([0, 255, 10])),
  { ...put('json', '{}'), contentType: 'application/x+json' },
  put('large', `"${'x'.repeat(5000)}"`),
]
const plain: readonly Put[] = [
  put('quoted "\\', '"é"'),
  { ...put('flags'), flags: 2 ** 34 - 1 },
  put('schlüssel/鍵', '["\u2028"]'),
  put('long', `"${'y'.repeat(1500)}"`),
  ...Array.from({ length: 400 }, (_, i) => put(`k${i}`, `{"n": ${i}}`)),
]

async function fill(dir: string): Promise<void> {
  await withEngine(dir, (engine) => write(engine, [...odd, ...plain]))
}

const refsOf = (keys: readonly string[]) => keys.map((key) => ({ collection, key }))
/** The same references, with keys that lie in the bytes of a request. */
function encodedRefsOf(names: readonly string[]): EncodedRef[] {
  const bytes = Buffer.from(names.join('"'))
  let at = 0
  return names.map((name) => {
    const from = at
    at += Buffer.byteLength(name) + 1
    return new EncodedRef(collection, bytes, from, at - 1)
  })
}
const keys = [...plain, ...odd].map(({ key }) => key)

/** Visits members twice, their keys as texts and as bytes, and compares what was shown with what `readMany` returns. */
async function visit(
  engine: SqliteEngine,
  names: readonly string[],
  maxBytes = Number.POSITIVE_INFINITY,
): Promise<Recorder> {
  const recorder = new Recorder()
  const refs = refsOf(names)
  const visited = engine.visitMany(refs, maxBytes, recorder)
  const again = new Recorder()
  expect(engine.visitMany(encodedRefsOf(names), maxBytes, again)).toBe(visited)
  expect(again.shown).toEqual(recorder.shown)
  const members = await engine.readMany(refs, maxBytes)
  expect(visited).toBe(members.length)
  expect(recorder.shown).toHaveLength(members.length)
  for (const [i, member] of members.entries()) {
    if (member === null) expect(recorder.shown[i]).toBeNull()
    else expect(member).toMatchObject(recorder.shown[i] as Shown)
  }
  return recorder
}

test.each(['checked', 'on', 'off'] as const)('shows what readMany returns, with pages %s', async (pages) => {
  const dir = newFolder()
  await fill(dir)
  await withEngine(
    dir,
    async (engine) => {
      const withMissing = [
        ...keys.flatMap((key, i) => (i % 7 === 0 ? [key, `none-${key}`] : [key])),
        'k3',
        'k3',
      ]
      const { rows } = await visit(engine, withMissing)
      // Only JSON without expiry, in one row, is shown as bytes.
      expect(rows).toBe(pages === 'off' ? 0 : plain.length + 2)
      expect((await visit(engine, ['none', 'nobody'])).rows).toBe(0)
      const cut = await visit(engine, keys, 2000)
      expect(cut.shown.length).toBeGreaterThan(3)
      expect(cut.shown.length).toBeLessThan(keys.length)
    },
    { pages },
  )
})

test('shows what only the log has, and what it took away', async () => {
  const dir = newFolder()
  await fill(dir)
  await withEngine(dir, async (engine) => {
    await write(engine, [put('k1', '"new"'), remove('k2'), put('fresh', '"in the log"')])
    const { shown } = await visit(engine, ['k0', 'k1', 'k2', 'fresh'])
    expect(shown.map((one) => one?.value ?? null)).toEqual(['{"n": 0}', '"new"', null, '"in the log"'])
    await until(() => flushedRevision(dir) === keys.length + 3, 'the tables have it')
    await visit(engine, [...keys, 'fresh'])
  })
})

test('shows records of the log as bytes where rows would be', async () => {
  await withEngine(
    newFolder(),
    async (engine) => {
      await write(engine, [...odd, ...plain, remove('k2'), put('k3', '"twice"'), put('k4', '1', noonMs + 5)])
      const { rows, shown } = await visit(engine, [...keys, 'none', 'k3'])
      expect(rows).toBe(plain.length - 2 + 1)
      expect(shown.at(-1)?.value).toBe('"twice"')
      for (const order of ['asc', 'desc'] as const)
        expect((await visitRange(engine, { order })).rows).toBe(plain.length - 2)
    },
    { pages: 'off' },
  )
})

test('a damaged row is damage, not a value', async () => {
  const dir = newFolder()
  await fill(dir)
  const db = new Database(join(dir, 'kvist.db'), { readwrite: true })
  db.run(`UPDATE members SET value = '{"n": 8}' WHERE key = 'k7'`)
  db.close()
  await withEngine(
    dir,
    async (engine) => {
      await visit(engine, ['k6', 'k8'])
      const visiting = (async () => engine.visitMany(refsOf(['k6', 'k7', 'k8']), 1e6, new Recorder()))()
      expect(await faultOf(visiting)).toMatchObject({ code: 'damaged' })
    },
    { pages: 'on', warn() {} },
  )
})

test('a row that another program may have changed while it was read is undone, and read again', async () => {
  const dir = newFolder()
  await fill(dir)
  const lines: string[] = []
  await withEngine(
    dir,
    async (engine) => {
      expect((await visit(engine, keys)).undone).toBe(0)
      const shell = Bun.spawnSync(['sqlite3', join(dir, 'kvist.db'), 'VACUUM'])
      expect(shell.success).toBe(true)
      await new Promise((resolve) => setImmediate(resolve))
      const { undone, rows } = await visit(engine, keys)
      expect([undone, rows]).toEqual([1, 0])
      expect(lines.filter((line) => line.includes('another program wrote to'))).toHaveLength(1)
    },
    { pages: 'on', warn: (line) => lines.push(line) },
  )
})

/** Visits a range, and compares what was shown with what `scan` returns. */
async function visitRange(engine: SqliteEngine, changes: Partial<ScanRange>): Promise<Recorder> {
  let recorder = new Recorder()
  const usual = { collection, from: null, to: null, order: 'asc', limit: 1000, keysOnly: false } as const
  const range: ScanRange = { ...usual, ...changes }
  let visited: ReturnType<SqliteEngine['visitRange']> = null
  const isRead = () => {
    recorder = new Recorder()
    visited = engine.visitRange(range, recorder)
    return visited !== null
  }
  // Not while a checkpoint writes the pages.
  await until(isRead, 'the pages can be read')
  const { members, next, isCut } = await engine.scan(range)
  expect<unknown>(visited).toEqual({ next, isCut })
  expect(recorder.shown).toHaveLength(members.length)
  for (const [i, member] of members.entries()) expect(member).toMatchObject(recorder.shown[i] as Shown)
  return recorder
}

const ascending: readonly Partial<ScanRange>[] = [
  {},
  { limit: 1 },
  { limit: 100 },
  { limit: 100, from: 'k2' },
  { from: 'k1', to: 'k3', limit: 50 },
  { from: 'l', to: 'm' },
  { from: 'zz' },
  { maxBytes: 3000 },
  { maxBytes: 0 },
]
const ranges = ascending.flatMap((range) => [range, { ...range, order: 'desc' as const }])

test.each(['checked', 'on'] as const)('shows what a scan returns, with pages %s', async (pages) => {
  const dir = newFolder()
  await fill(dir)
  await withEngine(
    dir,
    async (engine) => {
      for (const range of ranges) await visitRange(engine, range)
      expect((await visitRange(engine, {})).rows).toBe(plain.length)
      // Records of the log are merged with the rows.
      await write(engine, [
        put('k1', '"new"'),
        remove('k2'),
        put('k25x', '1', noonMs + 5),
        put('a'),
        put('zzz'),
      ])
      for (const range of ranges) await visitRange(engine, range)
      await write(
        engine,
        plain.map(({ key }) => remove(key)),
      )
      for (const range of ranges) await visitRange(engine, range)
      await visitRange(engine, { collection: 'none' })
      const range = { collection, from: null, to: null, order: 'asc', limit: 1, keysOnly: true } as const
      expect(engine.visitRange(range, new Recorder())).toBeNull()
      // What only the log has.
      await write(engine, [
        { ...put('a'), collection: 'new' },
        { ...put('b'), collection: 'new' },
      ])
      for (const order of ['asc', 'desc'] as const)
        for (const limit of [1, 5]) await visitRange(engine, { collection: 'new', order, limit })
    },
    { pages },
  )
})

test('a range with a damaged row is damage', async () => {
  const dir = newFolder()
  await fill(dir)
  const db = new Database(join(dir, 'kvist.db'), { readwrite: true })
  db.run(`UPDATE members SET value = '{"n": 8}' WHERE key = 'k7'`)
  db.close()
  await withEngine(
    dir,
    async (engine) => {
      await visitRange(engine, { to: 'k7' })
      const range = { collection, from: 'k6', to: null, order: 'asc', limit: 1000, keysOnly: false } as const
      const visiting = (async () => engine.visitRange(range, new Recorder()))()
      expect(await faultOf(visiting)).toMatchObject({ code: 'damaged' })
    },
    { pages: 'on', warn() {} },
  )
})
