import { Database } from 'bun:sqlite'
import { describe, expect, test } from 'bun:test'
import { existsSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  copyOf,
  killedCopy,
  logFiles,
  newFolder,
  openAt,
  withEngine,
} from '../../../../test/support/engine.ts'
import { collection, noonMs, put, remove, valuesOf, write } from '../../../../test/support/engine-writes.ts'
import { type Random, random, seedOfRun } from '../../../../test/support/random.ts'
import type { Value } from '../../../core/member.ts'
import { checkFolder } from './check-folder.ts'
import { repairFolder } from './repair-folder.ts'
import type { RepairReport } from './repair-report.ts'

const pageBytes = 8192

interface Made {
  readonly dir: string
  readonly values: Record<string, Value>
  readonly head: number
}

let made: Promise<Made> | null = null
function store(): Promise<Made> {
  made ??= makeStore()
  return made
}

/** A store with several levels of pages, free pages, rewritten members, large values, and a log that was not flushed. */
async function makeStore(): Promise<Made> {
  const dir = newFolder()
  const value = (i: number, round: number): Value =>
    i % 60 === 0
      ? new Uint8Array(3000 + i * 90).fill(i + round)
      : `{"n":${i},"r":${round},"x":"${'x'.repeat((i * 7) % 900)}"}`
  const putMany = (round: number, every: number) =>
    withEngine(dir, async (engine) => {
      for (let i = 0; i < 1500; i += 100) {
        const keys = Array.from({ length: 100 }, (_, j) => i + j).filter((key) => key % every === 0)
        await write(
          engine,
          keys.map((key) => put(`key-${key}`, value(key, round), key % 7 === 0 ? noonMs * 2 + key : null)),
        )
      }
    })
  await putMany(0, 1)
  await withEngine(dir, async (engine) => {
    await write(
      engine,
      Array.from({ length: 300 }, (_, i) => remove(`key-${300 + i}`)),
    )
  })
  await putMany(1, 5)
  const engine = await openAt(dir, { segmentBytes: 256 * 1024 })
  for (let i = 0; i < 60; i++) await write(engine, [put(`logged-${i}`, `"${i}"`), remove(`key-${700 + i}`)])
  const copy = killedCopy(dir)
  const values = await valuesOf(engine)
  const head = Number(engine.head())
  await engine.close()
  return { dir: copy, values, head }
}

interface Repaired {
  readonly report: RepairReport
  readonly values: Record<string, Value>
  readonly head: number
}

async function repaired(dir: string): Promise<Repaired> {
  const target = newFolder()
  const report = await repairFolder(dir, target)
  expect((await checkFolder(target)).findings).toEqual([])
  return withEngine(target, async (engine) => {
    const before = Number(engine.head())
    const values = await valuesOf(engine)
    const [written] = await write(engine, [put('afterwards', '1')])
    expect(written!.revision).toBeGreaterThan(before)
    return { report, values, head: before }
  })
}

function patch(path: string, edit: (bytes: Buffer) => void): void {
  const bytes = readFileSync(path)
  edit(bytes)
  writeFileSync(path, bytes)
}

/** What is wrong or lost in a repaired store must be said in its report. */
function expectHonest({ values, head }: Made, { report, values: saved, head: newHead }: Repaired): number {
  const said = new Set([...report.lost, ...report.uncertain].map(({ key }) => key))
  const hasLostWrites = report.lostRevisions.length > 0
  let lost = 0
  for (const [key, value] of Object.entries(values)) {
    if (Bun.deepEquals(saved[key], value)) continue
    lost++
    const isUnnamed = report.unnamed.length > 0 && saved[key] === undefined
    expect([key, said.has(key) || hasLostWrites || isUnnamed]).toEqual([key, true])
  }
  for (const key of Object.keys(saved))
    if (!(key in values)) expect([key, said.has(key) || hasLostWrites]).toEqual([key, true])
  expect(newHead).toBeGreaterThanOrEqual(head)
  return lost
}

describe('a repair', () => {
  test('of a whole folder has everything, and leaves the source as it was', async () => {
    const from = await store()
    const before = contentsOf(from.dir)
    const { report, values, head } = await repaired(from.dir)
    expect(contentsOf(from.dir)).toEqual(before)
    expect(values).toEqual(from.values)
    expect(head).toBe(from.head)
    expect(report).toMatchObject({
      lost: [],
      uncertain: [],
      unnamed: [],
      lostRevisions: [],
      leftOut: 0,
      fromLog: 0,
      notes: [],
    })
  })

  test.each([
    ['the header of the file', (b: Buffer) => b.fill(0, 0, 100)],
    ['the first page', (b: Buffer) => b.fill(7, 0, pageBytes)],
    [
      'the root of the members',
      (b: Buffer, dir: string) => b.fill(0, rootOf(dir, 'members'), rootOf(dir, 'members') + pageBytes),
    ],
    [
      'the beginning of a leaf',
      (b: Buffer) => b.fill(0, pageOf(b, '{"n":1211,'), pageOf(b, '{"n":1211,') + 100),
    ],
    [
      'the root of the feed',
      (b: Buffer, dir: string) => b.fill(0, rootOf(dir, 'feed'), rootOf(dir, 'feed') + pageBytes),
    ],
    [
      'the expiries',
      (b: Buffer, dir: string) => b.fill(0, rootOf(dir, 'expiries'), rootOf(dir, 'expiries') + pageBytes),
    ],
  ] as const)('saves each member that lies elsewhere when %s is overwritten', async (_, damage) => {
    const from = await store()
    const dir = copyOf(from.dir)
    patch(join(dir, 'kvist.db'), (bytes) => void damage(bytes, dir))
    const done = await repaired(dir)
    expectHonest(from, done)
    // The root of the members has a few rows of its own.
    const allowed = new Set(done.report.lost.map(({ key }) => key))
    expect(allowed.size).toBeLessThan(12)
    for (const [key, value] of Object.entries(from.values))
      if (!allowed.has(key)) expect([key, done.values[key]]).toEqual([key, value])
  })

  test('of a row that is damaged, and is nowhere else, names it', async () => {
    const from = await store()
    const dir = copyOf(from.dir)
    patch(join(dir, 'kvist.db'), (b) => void b.write('?', b.indexOf('{"n":1211,') + 1))
    const first = await repaired(dir)
    expect(first.report.lost).toEqual([
      { collection, key: 'key-1211', revision: expect.any(Number), what: 'it cannot be read' },
    ])
    expect(first.values['key-1211']).toBeUndefined()
  })

  test('of a row that is damaged takes it from a segment that was flushed and is kept for the next one', async () => {
    const dir = newFolder()
    const segment = await withEngine(dir, async (engine) => {
      await write(engine, [put('a', '"other"'), put('b', '"older"')])
      await write(engine, [put('b', '"damaged"')])
      return readFileSync(logFiles(killedCopy(dir))[0]!)
    })
    writeFileSync(join(dir, 'unarchived-00000001'), segment)
    patch(join(dir, 'kvist.db'), (b) => void b.write('?', b.lastIndexOf('"damaged"') + 1))
    const { report, values } = await repaired(dir)
    expect(values).toEqual({ a: '"other"', b: '"damaged"' })
    expect(report).toMatchObject({ lost: [], uncertain: [], fromLog: 1 })
  })

  test('without kvist.db has what the log has', async () => {
    const from = await store()
    const dir = copyOf(from.dir)
    rmSync(join(dir, 'kvist.db'))
    const { report, values, head } = await repaired(dir)
    for (let i = 0; i < 60; i++) expect(values[`logged-${i}`]).toBe(`"${i}"`)
    expect(Object.keys(values)).toHaveLength(60)
    expect(report.lostRevisions).toEqual([{ first: 1, last: from.head - 120 }])
    expect(report.notes.join()).toContain('kvist.db is missing')
    expect(head).toBeGreaterThanOrEqual(from.head)
  })

  test('of a log with damage in the middle has what lies before and behind it, and names the revisions between', async () => {
    const from = await store()
    const dir = copyOf(from.dir)
    patch(logFiles(dir)[0]!, (b) => void b.write('?', b.indexOf('logged-30')))
    const { report, values } = await repaired(dir)
    expect(report.lostRevisions).toEqual([{ first: from.head - 59, last: from.head - 58 }])
    expect(values['logged-29']).toBe('"29"')
    expect(values['logged-30']).toBeUndefined()
    expect(values['logged-31']).toBe('"31"')
    expect(values['key-730']).toEqual(expect.anything())
    expect(values['key-731']).toBeUndefined()
  })

  test('of a file that is cut off has what lies before', async () => {
    const from = await store()
    for (const share of [0.2, 0.5, 0.9]) {
      const dir = copyOf(from.dir)
      const path = join(dir, 'kvist.db')
      truncateSync(path, Math.floor(readFileSync(path).length * share))
      expectHonest(from, await repaired(dir))
    }
  })

  test('of damage anywhere saves what it did not touch, and presents nothing wrong as right', async () => {
    const seed = seedOfRun()
    const r = random(seed)
    const from = await store()
    const whole = readFileSync(join(from.dir, 'kvist.db'))
    const seen = { rounds: 0, lost: 0, uncertain: 0 }
    for (let round = 0; round < Number(process.env.KVIST_REPAIRS ?? 6); round++) {
      const dir = copyOf(from.dir)
      const bytes = Buffer.from(whole)
      const damaged = damageSomewhere(bytes, r)
      writeFileSync(join(dir, 'kvist.db'), bytes)
      try {
        const done = await repaired(dir)
        const lost = expectHonest(from, done)
        for (const key of untouched(whole, bytes, from.values))
          expect([key, done.values[key]]).toEqual([key, from.values[key]])
        seen.rounds++
        seen.lost += lost
        seen.uncertain += done.report.uncertain.length
      } catch (error) {
        throw new Error(`after ${damaged.join(', ')} in round ${round}`, { cause: error })
      }
    }
    console.log(seen)
  })
})

describe('a repair refuses', () => {
  test('a folder in use, one without a store, and a target that is not empty', async () => {
    const { dir } = await store()
    const used = newFolder()
    await withEngine(used, async () => {
      await expect(repairFolder(used, newFolder())).rejects.toThrow(/is held by another kvist$/)
      await expect(repairFolder(dir, used)).rejects.toThrow(/is not empty: name a new folder$/)
    })
    await expect(repairFolder(dir, join(dir, 'new'))).rejects.toThrow(
      /new is in .*: name a folder elsewhere$/,
    )
    const target = newFolder()
    const db = new Database(join(used, 'kvist.db'), { readwrite: true })
    db.run('PRAGMA user_version = 4')
    db.close()
    await expect(repairFolder(used, target)).rejects.toThrow(/use a newer kvist$/)
    expect(existsSync(target)).toBe(false)
    expect(readdirSync(join(target, '..')).filter((name) => name.endsWith('.part'))).toEqual([])
  })
})

function damageSomewhere(bytes: Buffer, r: Random): string[] {
  return Array.from({ length: 1 + r.int(3) }, () => {
    const length = r.pick([1, 100, 512, 4096, pageBytes])
    const at = r.oneIn(8) ? 0 : r.int(bytes.length - length)
    for (let i = at; i < at + length; i++) bytes[i] = length === 1 ? bytes[i]! ^ (1 << r.int(8)) : r.int(256)
    return `${length} bytes at ${at}`
  })
}

/** The members whose rows lie where no byte was changed, older copies of them included; without large values. */
function untouched(whole: Buffer, damaged: Buffer, values: Record<string, Value>): string[] {
  const touched = new Set<string>()
  const names = `${collection}key-`
  for (let at = whole.indexOf(names); at !== -1; at = whole.indexOf(names, at + 1)) {
    const key = /^key-\d+/.exec(whole.toString('latin1', at + collection.length, at + 20))?.[0] ?? ''
    // A row's header comes before its names, and its numbers behind its value.
    const rowBytes = names.length + 60 + String(values[key] ?? '').length
    if (!whole.subarray(at - 40, at + rowBytes).equals(damaged.subarray(at - 40, at + rowBytes)))
      touched.add(key)
  }
  return Object.keys(values).filter((key) => typeof values[key] === 'string' && !touched.has(key))
}

function contentsOf(dir: string): string {
  return Bun.spawnSync([
    'sh',
    '-c',
    'cd "$0" && ls -l --time-style=full-iso && cat *| cksum',
    dir,
  ]).stdout.toString()
}

function rootOf(dir: string, name: string): number {
  const db = new Database(join(dir, 'kvist.db'), { readonly: true })
  const page = Number(db.query('SELECT rootpage FROM sqlite_schema WHERE name = ?').values(name)[0]?.[0])
  db.close()
  return (page - 1) * pageBytes
}

function pageOf(bytes: Buffer, text: string): number {
  const at = bytes.indexOf(text)
  return at - (at % pageBytes)
}
