import { Database } from 'bun:sqlite'
import { expect, spyOn, test } from 'bun:test'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  faultsOfTables,
  flushedRevision,
  killedCopy,
  logFiles,
  newFolder,
  until,
  withEngine,
} from '../../../../test/support/engine.ts'
import { feedOf, put, remove, valuesOf, write } from '../../../../test/support/engine-writes.ts'
import { random, seedOfRun } from '../../../../test/support/random.ts'
import { keyOf } from '../../../core/member.ts'
import { maxExaminedChanges } from '../feed.ts'
import { openForWriting } from '../table/table.ts'
import { flushSegments } from './flush.ts'

/** What the tables have, read past the engine. */
function rowsOf(dir: string): { members: string[]; tombstones: string[] } {
  const db = new Database(join(dir, 'kvist.db'), { readonly: true })
  const keys = (table: string) =>
    db.query(`SELECT key FROM ${table} ORDER BY key`).values().flat().map(String)
  const rows = { members: keys('members'), tombstones: keys('tombstones') }
  db.close()
  return rows
}

const filling = JSON.stringify('x'.repeat(3900))

test('a member that was deleted and put again in one segment has no tombstone, whatever key is near', async () => {
  const dir = newFolder()
  await withEngine(
    dir,
    async (engine) => {
      await write(engine, [put('k'), remove('k'), put('k')])
      // Spread over the segment, so that one of them is where the place of k would sort between its records.
      for (let i = 0; i < 24; i++) await write(engine, [put('k\0'), put(`filling${i}`, filling)])
    },
    { segmentBytes: 256 * 1024 },
  )
  const { members, tombstones } = rowsOf(dir)
  expect(members).toEqual(expect.arrayContaining(['k', 'k\0']))
  expect(tombstones).toEqual([])
})

test('the tables end up with the latest of each key, whatever bytes the keys are of', async () => {
  const r = random(seedOfRun())
  for (let round = 0; round < 6; round++) {
    const dir = newFolder()
    const alive = new Set<string>()
    const dead = new Set<string>()
    const keys = Array.from({ length: 12 }, () =>
      String.fromCharCode(...Array.from({ length: 1 + r.int(7) }, () => r.pick([0, 0, 1, 2, 107, 255, 256]))),
    )
    await withEngine(
      dir,
      async (engine) => {
        for (let i = 0; i < 12; i++) {
          const writes = Array.from({ length: 1 + r.int(90) }, () => {
            const key = r.pick(keys)
            if (r.oneIn(3)) {
              if (alive.delete(key)) dead.add(key)
              return remove(key)
            }
            alive.add(key)
            dead.delete(key)
            return put(key, r.oneIn(10) ? filling : '1')
          })
          await write(engine, writes)
        }
      },
      { segmentBytes: r.pick([64 * 1024, 512 * 1024]) },
    )
    const { members, tombstones } = rowsOf(dir)
    expect(faultsOfTables(dir)).toEqual([])
    expect(members.toSorted()).toEqual([...alive].toSorted())
    expect(tombstones.toSorted()).toEqual([...dead].toSorted())
    await withEngine(dir, async (engine) => {
      expect(Object.keys(await valuesOf(engine))).toHaveLength(alive.size)
      expect((await feedOf(engine)).map(keyOf).toSorted()).toEqual([...alive, ...dead].toSorted())
    })
  }
})

test('segments that wait for more of them are flushed all the same when writers are idle, or on request', async () => {
  const dir = newFolder()
  const large = new Uint8Array(9 * 1024 * 1024)
  await withEngine(
    dir,
    async (engine) => {
      for (const key of ['a', 'b']) await write(engine, [put(key, large)])
      await until(() => flushedRevision(dir) === 2, 'the quiet log is applied')
      await write(engine, [put('c', large)])
      await engine.snapshot(join(dir, 'copy.db'))
      expect(flushedRevision(dir)).toBe(3)
    },
    { segmentBytes: 16 * 1024 * 1024 },
  )
})

test('the feed of a collection passes over the blocks of revisions that have none of its changes', async () => {
  const dir = newFolder()
  const other = (i: number) => ({ ...put(`o${i}`), collection: 'others' })
  const points: number[] = []
  await withEngine(
    dir,
    async (engine) => {
      for (let round = 0; round < 12; round++) {
        const written = await write(engine, [
          ...Array.from({ length: 9000 }, (_, i) => other(round * 3000 + i)),
          put(`own${round}`),
          put('same'),
        ])
        points.push(written.at(-2)!.revision)
      }
      await write(engine, [remove('own0')])
    },
    { segmentBytes: 4 * 1024 * 1024 },
  )
  expect(faultsOfTables(dir)).toEqual([])
  await withEngine(dir, async (engine) => {
    const keys = Array.from({ length: 11 }, (_, i) => `own${i + 1}`)
    for (let from = 0; from < 11; from++) {
      const page = await engine.changes(String(points[from]), 100, { collection: 'things' })
      expect(page.changes.map(keyOf)).toEqual([...keys.slice(from), 'same', 'own0'])
      expect([page.next, page.atEnd]).toEqual([engine.head(), true])
    }
    const first = await engine.changes('', 1, { collection: 'things' })
    expect(first.changes.map(keyOf)).toEqual(['own1'])
    const none = await engine.changes('', 1, { collection: 'never' })
    expect([none.changes, none.next, none.atEnd]).toEqual([[], engine.head(), true])
  })
})

test('a page of the feed examines a bounded part of what was overwritten, and has the cursor to go on from', async () => {
  const dir = newFolder()
  const rounds = 8
  await withEngine(
    dir,
    async (engine) => {
      await write(engine, [put('first')])
      for (let round = 0; round < rounds; round++) {
        await write(
          engine,
          Array.from({ length: 10_000 }, (_, i) => put(`k${i % 10}`)),
        )
      }
      for (const scope of [undefined, { collection: 'things' }]) {
        const keys: string[] = []
        let pages = 1
        for (let point = ''; ; pages++) {
          const page = await engine.changes(point, 100, scope)
          expect(Number(page.next) - Number(point)).toBeLessThanOrEqual(maxExaminedChanges)
          keys.push(...page.changes.map(keyOf))
          point = page.next
          if (page.atEnd) break
        }
        expect(keys).toEqual(['first', ...Array.from({ length: 10 }, (_, i) => `k${i}`)])
        expect(pages).toBe(Math.ceil((rounds * 10_000 + 1) / maxExaminedChanges))
      }
    },
    { segmentBytes: 16 * 1024 * 1024 },
  )
})

test('a reader whose tick lasts longer than a flush finds what was flushed', async () => {
  const dir = newFolder()
  await withEngine(
    dir,
    async (engine) => {
      for (let i = 0; i < 10; i++) await write(engine, [put(`before${i}`, filling)])
      await until(
        () => flushedRevision(dir) >= 4 && logFiles(dir).length <= 2,
        'the tables have the collection',
      )
      // The end of the tick, at which the read transaction of the tables ends, does not come.
      const endOfTick = spyOn(globalThis, 'setImmediate').mockImplementation((() => {}) as never)
      expect(await engine.read('things', 'missing')).toBeNull()
      endOfTick.mockRestore()
      for (let i = 0; i < 20; i++) await write(engine, [put(`k${i}`, filling)])
      await until(() => flushedRevision(dir) >= 20 && logFiles(dir).length <= 2, 'some are flushed')
      expect(await engine.read('things', 'k0')).toMatchObject({ value: filling })
    },
    { pages: 'off' },
  )
})

test('a tombstone is replaced by a member, and a member by a tombstone, in one job or in several', async () => {
  const dir = newFolder()
  const names = [
    'put over a tombstone',
    'delete',
    'put and delete',
    'put and delete over a tombstone',
    'stays',
  ]
  const [over, removed, both, bothOver, stays] = names as [string, string, string, string, string]
  await withEngine(dir, (engine) =>
    write(engine, [put(over), put(removed), put(bothOver), put(stays), remove(over), remove(bothOver)]),
  )
  expect(rowsOf(dir)).toEqual({
    members: [removed, stays].toSorted(),
    tombstones: [bothOver, over].toSorted(),
  })
  await withEngine(dir, (engine) =>
    write(engine, [put(over), remove(removed), put(both), put(bothOver), remove(both), remove(bothOver)]),
  )
  expect(rowsOf(dir)).toEqual({
    members: [over, stays].toSorted(),
    tombstones: [removed, both, bothOver].toSorted(),
  })
  expect(faultsOfTables(dir)).toEqual([])
})

test('a tombstone that damage left beside a member does not keep its delete from the tables', async () => {
  const dir = newFolder()
  await withEngine(dir, (engine) => write(engine, [put('k')]))
  const db = new Database(join(dir, 'kvist.db'))
  db.run("INSERT INTO tombstones SELECT collection, key, node, 0, 'delete', clock, 0 FROM members")
  db.close()
  await withEngine(dir, (engine) => write(engine, [remove('k')]))
  expect(rowsOf(dir)).toEqual({ members: [], tombstones: ['k'] })
})

test('a job may rest after each row that it writes, and each that it deletes from the feed', async () => {
  const dir = newFolder()
  const keys = ['a', 'b', 'c']
  await withEngine(dir, (engine) =>
    write(
      engine,
      keys.map((key) => put(key)),
    ),
  )
  const killed = await withEngine(dir, async (engine) => {
    await write(
      engine,
      keys.map((key) => put(key, '2')),
    )
    return killedCopy(dir)
  })
  const path = logFiles(killed)[0]!
  const log = readFileSync(path)
  const memory = new SharedArrayBuffer(log.length)
  new Uint8Array(memory).set(log)
  using db = openForWriting(join(killed, 'kvist.db'))
  let rests = 0
  flushSegments(db, [{ number: 2, path, memory, lastRevision: 6 }], undefined, undefined, () => {
    rests++
  })
  expect(rests).toBe(3 * keys.length)
})
