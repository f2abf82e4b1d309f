import { Database } from 'bun:sqlite'
import { describe, expect, test } from 'bun:test'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { copyOf, faultOf, newFolder, openAt, until, withEngine } from '../../../../test/support/engine.ts'
import {
  collection,
  feedOf,
  noonMs,
  put,
  remove,
  valuesOf,
  write,
} from '../../../../test/support/engine-writes.ts'
import { isLongRun } from '../../../../test/support/long-run.ts'
import { type Random, random, seedOfRun } from '../../../../test/support/random.ts'
import type { Engine } from '../../../core/engine.ts'
import { KvistError } from '../../../core/errors.ts'
import type { Change, Value } from '../../../core/member.ts'
import { readFault } from './damage.ts'
import { RefusedFile } from './table.ts'

const members = 400
const pageBytes = 8192
/** In the header of a page. */
const cellCountAt = 3

/** By another process: to close a file of a database takes away the locks that this one has on it. */
function patchFile(path: string, at: number, bytes: readonly number[]): void {
  const octal = bytes.map((byte) => `\\${byte.toString(8).padStart(3, '0')}`).join('')
  const command = `printf '${octal}' | dd of="$0" bs=1 seek=${at} conv=notrunc status=none`
  if (!Bun.spawnSync(['sh', '-c', command, path]).success) throw new Error('the file cannot be patched')
}

/** What a store holds, as it was read before it was damaged. */
interface Truth {
  readonly dir: string
  readonly values: Record<string, Value>
  readonly feed: readonly Change[]
  readonly gone: readonly string[]
}

async function wholeStore(): Promise<Truth> {
  const dir = newFolder()
  const gone: string[] = []
  await withEngine(dir, async (engine) => {
    for (let i = 0; i < members; i++) {
      const value =
        i % 40 === 0 ? new Uint8Array(3000 + i * 200).fill(i) : `{"n": ${i}, "x": "${'x'.repeat(i % 300)}"}`
      await write(engine, [put(`key-${i}`, value, i % 7 === 0 ? noonMs * 2 + i : null)])
    }
    for (let i = 0; i < members; i += 9) {
      gone.push(`key-${i}`)
      await write(engine, [remove(`key-${i}`, i % 2 === 0 ? 'delete' : 'expire')])
    }
  })
  return withEngine(dir, async (engine) => ({
    dir,
    values: await valuesOf(engine),
    feed: await feedOf(engine),
    gone,
  }))
}

/** Null for `damaged`; any other failure is one of the test. */
async function unlessDamaged<T>(work: () => Promise<T>): Promise<T | null> {
  try {
    return await work()
  } catch (error) {
    if (error instanceof KvistError && error.code === 'damaged') return null
    throw error
  }
}

async function keysInOrder(engine: Engine, order: 'asc' | 'desc'): Promise<string[]> {
  const page = await engine.scan({ collection, from: null, to: null, order, limit: 10_000, keysOnly: true })
  return page.members.map(({ key }) => key)
}

/** Reads all there is in every way; what is not an error has to be right. Returns how many reads were refused. */
async function refusedReads(engine: Engine, { values, feed, gone }: Truth): Promise<number> {
  let refused = 0
  for (const [key, value] of Object.entries(values)) {
    const read = await unlessDamaged(async () => ({ member: await engine.read(collection, key) }))
    if (read === null) refused++
    else expect([key, read.member?.value]).toEqual([key, value])
  }
  for (const key of gone) {
    const read = await unlessDamaged(async () => ({ member: await engine.read(collection, key) }))
    if (read === null) refused++
    else expect(read.member).toBeNull()
  }
  const sorted = Object.keys(values).toSorted()
  for (const order of ['asc', 'desc'] as const) {
    const keys = await unlessDamaged(() => keysInOrder(engine, order))
    if (keys === null) refused++
    else expect(keys).toEqual(order === 'asc' ? sorted : sorted.toReversed())
  }
  const [all, changes, expiring] = [
    await unlessDamaged(() => valuesOf(engine)),
    await unlessDamaged(() => feedOf(engine)),
    await unlessDamaged(async () => engine.expiring(noonMs * 3, 1000)),
  ]
  if (all !== null) expect(all).toEqual(values)
  if (changes !== null) expect(changes).toEqual([...feed])
  const due = sorted.filter((key) => Number(key.slice(4)) % 7 === 0)
  if (expiring !== null) expect(expiring.map(({ key }) => key).toSorted()).toEqual(due)
  const counts = await unlessDamaged(async () => engine.collections())
  expect(counts?.[0]?.members).toBe(sorted.length)
  return refused + [all, changes, expiring].filter((read) => read === null).length
}

function flipBits(path: string, r: Random): string {
  const bytes = readFileSync(path)
  const flips = Array.from({ length: 1 + r.int(3) }, () => {
    const at = r.int(bytes.length)
    bytes[at]! ^= 1 << r.int(8)
    return at
  })
  writeFileSync(path, bytes)
  return flips.join(', ')
}

/** Heads by the type of a page: interior ones have a page behind. */
const headBytesOf: Record<number, number> = { 2: 12, 5: 12, 10: 8, 13: 8 }
const leafHeadBytes = 8

/** Changes the structure of a page of a tree: its type, number of cells, an offset or the page below a separator. */
function damagePage(path: string, r: Random): string {
  const bytes = readFileSync(path)
  const pages = Array.from({ length: bytes.length / pageBytes - 1 }, (_, i) => (i + 1) * pageBytes)
  const inUse = pages.filter(
    (page) => bytes[page]! in headBytesOf && bytes.readUInt16BE(page + cellCountAt) > 1,
  )
  const interior = inUse.filter((page) => headBytesOf[bytes[page]!] === 12)
  const page = r.pick(r.int(3) === 0 ? interior : inUse)
  const headBytes = headBytesOf[bytes[page]!]!
  const cells = bytes.readUInt16BE(page + cellCountAt)
  const pointer = page + headBytes + r.int(cells) * 2
  const cell = page + bytes.readUInt16BE(pointer)
  const change = r.pick(['type', 'count', 'offset', 'swap', 'start', 'child'] as const)
  const patch = (at: number, patched: readonly number[]) => {
    patchFile(path, at, patched)
    return `${change} of page ${page / pageBytes + 1}: ${patched} at ${at}`
  }
  const flipped = (at: number) => patch(at, [bytes[at]! ^ (1 << r.int(8))])
  if (change === 'type') return flipped(page)
  if (change === 'count') {
    const count = cells + (r.int(2) === 0 ? -1 - r.int(2) : 1 + r.int(2))
    return patch(page + cellCountAt, [count >> 8, count & 255])
  }
  if (change === 'start') return flipped(page + 5 + r.int(2))
  // One row twice, another one not at all.
  if (change === 'swap') return patch(pointer, [...bytes.subarray(page + headBytes, page + headBytes + 2)])
  if (change === 'child' && headBytes === 12)
    return flipped(r.int(4) === 0 ? page + 8 + r.int(4) : cell + r.int(4))
  return flipped(pointer + r.int(2))
}

describe('damage', () => {
  test('of the definition of a table is damage too: kvist asks for no column that was not made', () => {
    const db = new Database(':memory:')
    db.run('CREATE TABLE feed (chfcksum)')
    const read = () => db.prepare('SELECT checksum FROM feed')
    expect(read).toThrow('no such column')
    try {
      read()
    } catch (error) {
      expect(readFault(error).code).toBe('damaged')
    }
    db.close()
  })

  test('anywhere in the tables ends in the right result or in an error, never in another result', async () => {
    const r = random(seedOfRun())
    const truth = await wholeStore()
    const seen = { refusedStarts: 0, refusedReads: 0, harmless: 0 }
    for (let round = 0; round < Number(process.env.KVIST_FLIPS ?? (isLongRun ? 150 : 50)); round++) {
      const dir = copyOf(truth.dir)
      const flips = flipBits(join(dir, 'kvist.db'), r)
      let engine: Engine
      try {
        engine = await openAt(dir, { pages: 'on' })
      } catch (error) {
        if (!(error instanceof RefusedFile)) throw error
        seen.refusedStarts++
        continue
      }
      try {
        const refused = await refusedReads(engine, truth)
        if (refused === 0) seen.harmless++
        else seen.refusedReads++
      } catch (error) {
        throw new Error(`after flips at ${flips}`, { cause: error })
      } finally {
        await engine.close()
      }
    }
    console.log(seen)
    expect(seen.refusedReads).toBeGreaterThan(0)
  })

  test('of one row is named, and the others go on being served', async () => {
    const truth = await wholeStore()
    const path = join(truth.dir, 'kvist.db')
    const bytes = readFileSync(path)
    bytes[bytes.indexOf('{"n": 137,') + 7]! ^= 1
    writeFileSync(path, bytes)
    await withEngine(
      truth.dir,
      async (engine) => {
        const fault = await faultOf((async () => engine.read(collection, 'key-137'))())
        expect(fault).toMatchObject({ code: 'damaged', extra: { collection, key: 'key-137' } })
        expect(fault.message).toBe('what is stored of "key-137" in things is damaged')
        expect((await engine.read(collection, 'key-136'))?.value).toEqual(truth.values['key-136']!)
        expect((await faultOf(valuesOf(engine))).code).toBe('damaged')
        expect((await faultOf(feedOf(engine))).code).toBe('damaged')
        const puts = ['key-136', 'key-137', 'key-138', 'new'].map((key) =>
          write(engine, [put(key, '"again"')]),
        )
        const outcomes = await Promise.allSettled(puts)
        expect(outcomes.map(({ status }) => status)).toEqual([
          'fulfilled',
          'rejected',
          'fulfilled',
          'fulfilled',
        ])
        expect(outcomes[1]).toMatchObject({ reason: { code: 'damaged', extra: { key: 'key-137' } } })
        expect((await engine.read(collection, 'key-138'))?.value).toBe('"again"')
      },
      { pages: 'on' },
    )
  })

  test('that comes while a server runs is looked for when a first row of it is read', async () => {
    const truth = await wholeStore()
    const path = join(truth.dir, 'kvist.db')
    const lines: string[] = []
    await withEngine(
      truth.dir,
      async (engine) => {
        const bytes = readFileSync(path)
        const some = bytes.indexOf('{"n": 137,')
        const page = some - (some % pageBytes)
        // The first row of a page stands at its end.
        const row = bytes.lastIndexOf('{"n": ', page + pageBytes - 1)
        const key = `key-${Number.parseInt(bytes.toString('latin1', row + 6, row + 9), 10)}`
        // A leaf that states one row less, whose last row so is gone; and a row of it that is not what it was.
        const cells = bytes.readUInt16BE(page + cellCountAt) - 1
        patchFile(path, page + cellCountAt, [cells >> 8, cells & 255])
        patchFile(path, row + 6, [bytes[row + 6]! ^ 1])
        expect((await faultOf((async () => engine.read(collection, key))())).code).toBe('damaged')
        await until(() => lines.length > 0, 'the tables are looked through')
        expect(lines.join()).toMatch(/kvist\.db is damaged \(.*\): what is found in it is served/)
        expect((await faultOf(keysInOrder(engine, 'asc'))).code).toBe('damaged')
      },
      { pages: 'on', warn: (line) => lines.push(line) },
    )
  })

  test('of a leaf that states one row less, while a server runs, never makes a row that is gone look absent', async () => {
    const { dir } = await wholeStore()
    const path = join(dir, 'kvist.db')
    await withEngine(
      dir,
      async (engine) => {
        const bytes = readFileSync(path)
        const some = bytes.indexOf('{"n": 137,')
        const page = some - (some % pageBytes)
        const cells = bytes.readUInt16BE(page + cellCountAt) - 1
        const last = page + bytes.readUInt16BE(page + leafHeadBytes + cells * 2)
        const text = bytes.toString('latin1', last, last + 60)
        const key = /things(key-\d+)\{/.exec(text)![1]!
        // Lists leave nothing in memory by which a key of this page would be found.
        expect(await keysInOrder(engine, 'asc')).toContain(key)
        patchFile(path, page + cellCountAt, [cells >> 8, cells & 255])
        const fault = await faultOf((async () => engine.read(collection, key))())
        expect(fault).toMatchObject({ code: 'damaged', extra: { collection, key } })
        for (const read of [
          () => keysInOrder(engine, 'asc'),
          () => keysInOrder(engine, 'desc'),
          () => write(engine, [put(key, '"again"')]),
        ])
          expect((await faultOf(read())).code).toBe('damaged')
      },
      { pages: 'on' },
    )
  })

  test('of the pages of a running server ends in the right response or in an error', async () => {
    const r = random(seedOfRun())
    const truth = await wholeStore()
    const seen = { refusedReads: 0, harmless: 0 }
    for (let round = 0; round < Number(process.env.KVIST_FLIPS ?? (isLongRun ? 100 : 35)); round++) {
      const dir = copyOf(truth.dir)
      const path = join(dir, 'kvist.db')
      let what = ''
      try {
        await withEngine(
          dir,
          async (engine) => {
            if (r.int(2) === 0) await refusedReads(engine, truth)
            what = damagePage(path, r)
            const refused = await refusedReads(engine, truth)
            if (refused === 0) seen.harmless++
            else seen.refusedReads++
          },
          { pages: 'on' },
        )
      } catch (error) {
        throw new Error(`after ${what}`, { cause: error })
      }
    }
    console.log(seen)
    expect(seen.refusedReads).toBeGreaterThan(seen.harmless)
  })

  test('that took rows away is noticed at the start: what is there is served, and lists and absence are refused', async () => {
    const truth = await wholeStore()
    const db = new Database(join(truth.dir, 'kvist.db'), { readwrite: true })
    db.run("DELETE FROM members WHERE key = 'key-137'")
    db.close()
    const lines: string[] = []
    await withEngine(
      truth.dir,
      async (engine) => {
        expect(lines.join()).toMatch(
          /kvist\.db is damaged \(its collections do not count the members that are there\)/,
        )
        expect((await engine.read(collection, 'key-136'))?.value).toEqual(truth.values['key-136']!)
        for (const read of [
          async () => engine.read(collection, 'key-137'),
          async () => engine.read('other', 'x'),
          () => keysInOrder(engine, 'asc'),
          () => feedOf(engine),
        ])
          expect((await faultOf(read())).code).toBe('damaged')
      },
      { pages: 'on', warn: (line) => lines.push(line) },
    )
  })
})
