import { expect, test } from 'bun:test'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { faultOf, flushedRevision, newFolder, openAt, withEngine } from '../../../../test/support/engine.ts'
import { put, remove, write } from '../../../../test/support/engine-writes.ts'
import { random, seedOfRun } from '../../../../test/support/random.ts'
import { KvistError } from '../../../core/errors.ts'
import type { SqliteEngine } from '../engine.ts'
import { donePages, notePinFault, readPages, savePages } from './pinned-pages.ts'

/** Writes to random members, and waits until they are in the tables and checkpointed. */
async function change(engine: SqliteEngine, r: ReturnType<typeof random>): Promise<void> {
  const writes = Array.from({ length: 40 }, () => {
    const key = `k${r.int(2000)}`
    return r.oneIn(4) ? remove(key) : put(key, JSON.stringify('x'.repeat(r.int(3000))))
  })
  await write(engine, writes)
  await await faultOrPin(engine)
}

/** A pin begins with a flush, also where it is refused. */
async function faultOrPin(engine: SqliteEngine): Promise<void> {
  const error = await faultOf(engine.pin())
  expect(error.code).toBe('busy')
}

test('pinned pages stay as they were while checkpoints write the file, in whatever order things happen', () => {
  const dir = newFolder()
  return withEngine(
    dir,
    async (engine) => {
      const r = random(seedOfRun())
      for (let i = 0; i < 20; i++)
        await write(
          engine,
          Array.from({ length: 50 }, (_, j) =>
            put(`k${(i * 50 + j) * 2}`, JSON.stringify('y'.repeat(r.int(1500)))),
          ),
        )
      for (let round = 0; round < 2; round++) {
        const tables = await engine.pin()
        const { pages, facts } = tables
        // No lock is lost by this read: the file is read by the descriptor that stays open.
        const before = Buffer.alloc(pages.pages * pages.pageBytes)
        readPages(pages, 0, before)
        expect(facts.revision).toBe(flushedRevision(dir))
        const buffer = new Uint8Array(pages.pageBytes)
        let changed = 0
        for (let page = 0; page < pages.pages; ) {
          if (changed < 25 && r.oneIn(Math.ceil(pages.pages / 40))) {
            changed++
            await change(engine, r)
          }
          readPages(pages, page, buffer)
          const expected = before.subarray(page * pages.pageBytes, (page + 1) * pages.pageBytes)
          if (!expected.equals(buffer)) throw new Error(`page ${page} of ${pages.pages} is not as it was`)
          page++
          donePages(pages, page)
        }
        expect(changed).toBeGreaterThan(0)
        expect(flushedRevision(dir)).toBeGreaterThan(facts.revision)
        tables.check()
        tables.release()
      }
    },
    { segmentBytes: 64 * 1024, pages: 'on' },
  )
})

test('a fault of a pin is the first that was noted, and says what it was', () =>
  withEngine(newFolder(), async (engine) => {
    await write(engine, [put('a')])
    const tables = await engine.pin()
    notePinFault(tables.pages, 'full')
    notePinFault(tables.pages, 'foreign')
    expect(codeOf(() => tables.check())).toBe('storage_full')
    tables.release()
  }))

test('pages are not saved where the disk would have too little room for writers, and the pin says so', () =>
  withEngine(newFolder(), async (engine) => {
    for (let i = 0; i < 50; i++) await write(engine, [put(`k${i}`, JSON.stringify('x'.repeat(1000)))])
    const tables = await engine.pin()
    Object.assign(tables.pages, { reservedBytes: 2 ** 60 })
    await write(engine, [put('k1', '2')])
    await faultOrPin(engine)
    expect(codeOf(() => tables.check())).toBe('storage_full')
    expect(await engine.read('things', 'k1')).toMatchObject({ value: '2' })
    tables.release()
  }))

test('a checkpoint that another program made meanwhile is noticed', () =>
  withEngine(newFolder(), async (engine) => {
    await write(engine, [put('a')])
    const tables = await engine.pin()
    // The flusher's job has committed, and yet nothing is left to move.
    savePages(tables.pages, true)
    expect(codeOf(() => tables.check())).toBe('busy')
    tables.release()
  }))

test('closing the engine makes what is pinned useless, and pinning after that is refused', async () => {
  const dir = newFolder()
  const engine = await openAt(dir)
  await write(engine, [put('a')])
  const tables = await engine.pin()
  await engine.close()
  expect(codeOf(() => tables.check())).toBe('closing')
  tables.release()
  expect((await faultOf(engine.pin())).code).toBe('closing')
  expect(readFileSync(join(dir, 'kvist.db')).length).toBeGreaterThan(0)
})

function codeOf(work: () => void): string {
  try {
    work()
  } catch (error) {
    if (error instanceof KvistError) return error.code
    throw error
  }
  return 'none'
}
