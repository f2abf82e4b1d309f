import { Database } from 'bun:sqlite'
import { afterEach, describe, expect, mock, spyOn, test } from 'bun:test'
import * as fs from 'node:fs'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  faultOf,
  flushedRevision,
  holdTables,
  killedCopy,
  logFiles,
  newFolder,
  until,
  withEngine,
} from '../../../test/support/engine.ts'
import {
  collection,
  feedOf,
  noonMs,
  put,
  remove,
  valuesOf,
  write,
} from '../../../test/support/engine-writes.ts'
import type { Engine } from '../../core/engine.ts'
import { KvistError } from '../../core/errors.ts'
import { type Committed, keyOf, revisionOf } from '../../core/member.ts'
import { checkpointWaitMs } from './flush/checkpoint.ts'
import { flushSegments } from './flush/flush.ts'
import { openForWriting, readMeta } from './table/table.ts'
import { maxSegments } from './wal/log-writer.ts'
import { recordRevision } from './wal/record.ts'
import { readLog } from './wal/recovery.ts'

/** What must hold at every moment, also after `kill -9`: the five promises of docs/design/engine-sqlite.md. */

const { fdatasync } = fs
const segmentBytes = 4096
const value = JSON.stringify('x'.repeat(300))

afterEach(() => {
  mock.restore()
})

/** Puts one member at a time, so that segments fill to their usual size and their files are used again. */
async function putMany(engine: Engine, from: number, to: number): Promise<void> {
  for (let i = from; i < to; i++) await write(engine, [put(`k${i}`, value)])
}

/**
 * Holds up the event loop until the tables have a revision: what the thread did then is not known here yet. It lets go for
 * a moment where nothing is done: the thread may have given up on tables that were held for long, and is asked again.
 */
async function blockUntilApplied(dir: string, revision: number): Promise<void> {
  for (let tries = 0; flushedRevision(dir) < revision; tries++) {
    if (tries > 10_000) throw new Error('the tables did not come up to date')
    if (tries % 1000 === 999) await Bun.sleep(10)
    Bun.sleepSync(2)
  }
}

/** Keeps what is applied in the write-ahead log of the tables, so that their files may be copied. */
function holdFile(dir: string): { release(): void } {
  const db = new Database(join(dir, 'kvist.db'), { readonly: true })
  db.run('BEGIN')
  db.query('SELECT count(*) FROM meta').values()
  return { release: () => db.close() }
}

/** Until a number stays as it is for a good while, for want of room and not of time. */
async function untilStalled(progress: () => number): Promise<void> {
  let last = -1
  for (let calm = 0; calm < 30; calm = progress() === last ? calm + 1 : 0) {
    last = progress()
    await Bun.sleep(10)
  }
}

async function expectMembers(dir: string, count: number): Promise<void> {
  await withEngine(dir, async (engine) => {
    expect(Object.keys(await valuesOf(engine))).toHaveLength(count)
    expect((await feedOf(engine)).map(keyOf)).toHaveLength(count)
    expect(await engine.collections()).toMatchObject([{ members: count }])
  })
}

describe('1: what was acknowledged is in the log or in the tables', () => {
  test('in the log alone, while the tables have nothing of it', async () => {
    const dir = newFolder()
    const killed = await withEngine(
      dir,
      async (engine) => {
        const held = holdTables(dir)
        await putMany(engine, 0, 20)
        expect(flushedRevision(dir)).toBe(0)
        const copy = killedCopy(dir)
        held.release()
        return copy
      },
      { segmentBytes },
    )
    await expectMembers(killed, 20)
  })

  test('in both, when the process ends before it has released the log', async () => {
    const dir = newFolder()
    const killed = await withEngine(
      dir,
      async (engine) => {
        const held = holdTables(dir)
        await putMany(engine, 0, 20)
        const reader = holdFile(dir)
        held.release()
        await blockUntilApplied(dir, 1)
        expect(logFiles(dir).length).toBeGreaterThan(1)
        const copy = killedCopy(dir)
        reader.release()
        return copy
      },
      { segmentBytes },
    )
    expect(flushedRevision(killed)).toBeGreaterThan(0)
    await expectMembers(killed, 20)
  })

  test('in the tables alone, when nothing of the log is left', async () => {
    const dir = newFolder()
    await withEngine(dir, (engine) => putMany(engine, 0, 20), { segmentBytes })
    expect(logFiles(dir)).toEqual([])
    await expectMembers(dir, 20)
  })

  test('the applied revision is written in the transaction of the rows', async () => {
    const dir = newFolder()
    const killed = await withEngine(
      dir,
      async (engine) => {
        const held = holdTables(dir)
        await putMany(engine, 0, 20)
        const copy = killedCopy(dir)
        held.release()
        return copy
      },
      { segmentBytes },
    )
    const path = join(killed, 'kvist.db')
    const db = openForWriting(path)
    const seen = new Database(path, { readonly: true })
    const log = readLog(killed, readMeta(db)).segments
    for (const segment of log) {
      const lastRevision = recordRevision(segment.chunk, segment.records.at(-1)!)
      // A transaction that fails at its end leaves neither rows nor the revision.
      const before = stateOf(seen)
      const source = { ...segment, lastRevision, memory: segment.chunk.bytes.buffer }
      db.run("CREATE TEMP TRIGGER fail BEFORE INSERT ON meta BEGIN SELECT RAISE(ABORT, 'no'); END")
      expect(() => flushSegments(db, [source])).toThrow('no')
      expect(stateOf(seen)).toEqual(before)
      db.run('DROP TRIGGER fail')
      expect(flushSegments(db, [source])).toBe(lastRevision)
      expect(stateOf(seen)).toEqual({ applied: lastRevision, rows: lastRevision, counted: lastRevision })
      // Done again, as after a crash, it changes nothing.
      expect(flushSegments(db, [source])).toBe(lastRevision)
      expect(stateOf(seen)).toEqual({ applied: lastRevision, rows: lastRevision, counted: lastRevision })
    }
    seen.close()
    db.close()
    await expectMembers(killed, 20)
  })
})

function stateOf(db: Database) {
  const one = (sql: string) => Number(db.query(sql).values()[0]?.[0])
  return {
    applied: one("SELECT value FROM meta WHERE name = 'flushed_revision'"),
    rows: one('SELECT count(*) FROM members'),
    counted: one('SELECT coalesce(sum(members), 0) FROM collections'),
  }
}

describe('2: a reader sees every acknowledged change, none that is not durable, and never goes back', () => {
  test('nothing of a commit is read or reported before it is on disk', async () => {
    const dir = newFolder()
    const notified: Committed[] = []
    await withEngine(
      dir,
      async (engine) => {
        await write(engine, [put('a', '1'), put('gone', '1')])
        const before = await stateSeen(engine)
        let finish: () => void = () => {}
        const hold = (fd: number, done: Parameters<typeof fdatasync>[1]) => {
          finish = () => fdatasync(fd, done)
        }
        const spy = spyOn(fs, 'fdatasync')
        spy.mockImplementation(Object.assign(hold, { __promisify__: fdatasync.__promisify__ }))
        let resolved = false
        const writing = write(engine, [put('a', '2'), put('b', '2'), remove('gone')]).then(() => {
          resolved = true
        })
        await until(() => spy.mock.calls.length > 0, 'the log is being synced')
        for (let i = 0; i < 5; i++) await Bun.sleep(2)
        expect(resolved).toBe(false)
        expect(await stateSeen(engine)).toEqual(before)
        expect(notified.map(keyOf)).toEqual(['a', 'gone'])
        finish()
        await writing
        expect(await valuesOf(engine)).toEqual({ a: '2', b: '2' })
        expect(notified.map(keyOf)).toEqual(['a', 'gone', 'a', 'b', 'gone'])
        expect((await feedOf(engine)).map(keyOf)).toEqual(['a', 'b', 'gone'])
      },
      { onCommit: (changes) => notified.push(...changes) },
    )
  })

  test('no reader goes back while the tables take over from the log', async () => {
    const dir = newFolder()
    const keys = Array.from({ length: 12 }, (_, i) => `k${i}`)
    await withEngine(
      dir,
      async (engine) => {
        const seen = new Map<string, number>()
        let running = true
        async function look(): Promise<void> {
          while (running) {
            const page = await engine.scan({
              collection,
              from: null,
              to: null,
              order: 'asc',
              limit: 100,
              keysOnly: true,
            })
            const single = await engine.readMany(keys.map((key) => ({ collection, key })))
            for (const member of [...page.members, ...single]) {
              if (member === null) continue
              if (member.revision < (seen.get(member.key) ?? 0)) throw new Error(`${member.key} went back`)
              seen.set(member.key, member.revision)
            }
            await new Promise((resolve) => setImmediate(resolve))
          }
        }
        const looking = look()
        let acknowledged = 0
        const latest = new Map<string, number>()
        for (let i = 0; i < 300; i++) {
          const key = keys[(i * 5) % keys.length]!
          const [written] = await write(engine, [put(key, value)])
          acknowledged = written!.revision
          latest.set(key, acknowledged)
          // All of them: those whose segment the tables took over in this very turn as well.
          const found = await engine.readMany([...latest.keys()].map((one) => ({ collection, key: one })))
          expect(found.map((member) => member?.revision)).toEqual([...latest.values()])
        }
        running = false
        await looking
        expect(flushedRevision(dir)).toBeGreaterThan(0)
        expect(Math.max(...seen.values())).toBeLessThanOrEqual(acknowledged)
      },
      { segmentBytes },
    )
  })

  test('a scan that stopped early holds no old state of the tables', async () => {
    const dir = newFolder()
    await withEngine(
      dir,
      async (engine) => {
        await putMany(engine, 0, 40)
        const range = { collection, from: null, to: null, order: 'asc', limit: 1, keysOnly: false } as const
        for (let i = 0; i < 30; i++) {
          await engine.scan(range)
          await engine.changes('', 1)
          const [written] = await write(engine, [put('k0', String(i)), put('k1', value)])
          expect((await engine.scan(range)).members[0]?.revision).toBe(written!.revision)
          await until(() => logFiles(dir).length <= 2, 'the tables are up to date')
          expect((await engine.read(collection, 'k0'))?.value).toBe(String(i))
        }
        expect(Object.keys(await valuesOf(engine))).toHaveLength(40)
      },
      { segmentBytes },
    )
  })
})

async function stateSeen(engine: Engine) {
  return {
    values: await valuesOf(engine),
    feed: await feedOf(engine),
    tombstone: await engine.tombstone(collection, 'gone'),
    stats: await engine.collections(),
    expiring: await engine.expiring(noonMs * 2, 10),
  }
}

describe('3: memory is bounded: when the map is full, writers wait and nothing else does', () => {
  test('writers wait for the tables, readers do not', async () => {
    const dir = newFolder()
    await withEngine(
      dir,
      async (engine) => {
        const held = holdTables(dir)
        let acknowledged = 0
        const writing = (async () => {
          for (; acknowledged < 150; acknowledged++) await write(engine, [put(`k${acknowledged}`, value)])
        })()
        await untilStalled(() => acknowledged)
        const full = acknowledged
        expect(full).toBeLessThan(100)
        expect(logFiles(dir).length).toBeLessThanOrEqual(maxSegments)
        expect(Object.keys(await valuesOf(engine))).toHaveLength(full)
        expect(await feedOf(engine)).toHaveLength(full)
        held.release()
        await writing
        expect(Object.keys(await valuesOf(engine))).toHaveLength(150)
      },
      { segmentBytes },
    )
  })

  test('writers that waited too long fail with busy', async () => {
    const dir = newFolder()
    await withEngine(
      dir,
      async (engine) => {
        const held = holdTables(dir)
        let written = 0
        async function writeOn(own: string): Promise<KvistError> {
          for (let i = 0; ; i++) {
            const result = await write(engine, [put(`${own}${i}`, value)]).catch((error: unknown) => error)
            if (result instanceof KvistError) return result
            written++
          }
        }
        const writers = ['a', 'b', 'c'].map(writeOn)
        await untilStalled(() => written)
        const now = performance.now.bind(performance)
        const clock = spyOn(performance, 'now').mockImplementation(() => now() + 31_000)
        const faults = await Promise.all(writers)
        clock.mockRestore()
        for (const { code } of faults) expect(code).toBe('busy')
        expect(Object.keys(await valuesOf(engine))).toHaveLength(written)
        held.release()
        await write(engine, [put('later')])
      },
      { segmentBytes },
    )
  })

  test('tables that cannot be written fail the writers that need room, and nothing is lost', async () => {
    const dir = newFolder()
    await withEngine(
      dir,
      async (engine) => {
        const db = new Database(join(dir, 'kvist.db'), { readwrite: true })
        db.run('PRAGMA busy_timeout = 10000')
        db.run("CREATE TRIGGER fail BEFORE INSERT ON meta BEGIN SELECT RAISE(ABORT, 'broken'); END")
        let written = 0
        const fault = await faultOf(
          (async () => {
            for (; written < 1000; written++) await write(engine, [put(`k${written}`, value)])
          })(),
        )
        expect(fault.code).toBe('storage_failed')
        expect(fault.message).not.toContain('broken')
        expect(Object.keys(await valuesOf(engine))).toHaveLength(written)
        db.run('DROP TRIGGER fail')
        db.close()
        await until(() => logFiles(dir).length <= 1, 'the tables are written again')
        await write(engine, [put('later')])
        expect(Object.keys(await valuesOf(engine))).toHaveLength(written + 1)
      },
      { segmentBytes },
    )
  })
})

test('a snapshot waits for what was written before it, and for nothing that was written later', async () => {
  const dir = newFolder()
  await withEngine(
    dir,
    async (engine) => {
      let held = holdTables(dir)
      const applyUpTo = async (revision: number) => {
        // The engine is not notified of one job, and so does not start another, before the tables are held again.
        held.release()
        await blockUntilApplied(dir, revision)
        held = holdTables(dir)
        // The thread cannot empty SQLite's log while they are, and gives that up.
        await Bun.sleep(checkpointWaitMs + 100)
      }
      let written = 0
      const fillSegments = async (count: number) => {
        while (logFiles(dir).length < count) await putMany(engine, written, ++written)
      }
      await fillSegments(2)
      const least = written
      let done = false
      const snapshot = engine.snapshot(join(dir, 'copy.db')).then(() => {
        done = true
      })
      await fillSegments(maxSegments - 1)
      await applyUpTo(1)
      await fillSegments(maxSegments - 1)
      expect(done).toBe(false)
      await applyUpTo(least)
      await snapshot
      expect(flushedRevision(dir)).toBeLessThan(written)
      held.release()
      const copy = newFolder()
      fs.mkdirSync(copy)
      fs.copyFileSync(join(dir, 'copy.db'), join(copy, 'kvist.db'))
      await withEngine(copy, async (again) => {
        expect(Object.keys(await valuesOf(again)).length).toBeGreaterThanOrEqual(least)
      })
    },
    { segmentBytes: 1024 },
  )
})

describe('4: the feed is the log while it lasts, and what is older comes from the tables', () => {
  test('the feed is the same before, while and after the tables take over', async () => {
    const dir = newFolder()
    const notified: Committed[] = []
    const expected = () => {
      const latest = new Map(notified.map((change) => [keyOf(change), revisionOf(change)]))
      return [...latest.values()].toSorted((a, b) => a - b)
    }
    await withEngine(
      dir,
      async (engine) => {
        const held = holdTables(dir)
        await putMany(engine, 0, 12)
        await write(engine, [remove('k3'), put('k5', '2'), remove('k7', 'expire')])
        const inLog = await feedOf(engine)
        expect(inLog.map(revisionOf)).toEqual(expected())
        held.release()
        await until(() => logFiles(dir).length === 1, 'the first segments are applied')
        const inBoth = await feedOf(engine)
        expect(inBoth).toEqual(inLog)
        await write(engine, [put('k7', '3'), remove('k5')])
        expect((await feedOf(engine)).map(revisionOf)).toEqual(expected())
      },
      { segmentBytes, onCommit: (changes) => notified.push(...changes) },
    )
    expect(logFiles(dir)).toEqual([])
    await withEngine(dir, async (engine) => {
      const inTables = await feedOf(engine)
      expect(inTables.map(revisionOf)).toEqual(expected())
      expect(inTables.map(({ type }) => type)).toContain('delete')
      for (const point of inTables.map(revisionOf)) {
        expect((await feedOf(engine, String(point))).map(revisionOf)).toEqual(
          expected().filter((revision) => revision > point),
        )
      }
    })
  })

  test('nothing is missed in the moment between the thread having applied and the engine hearing of it', async () => {
    const dir = newFolder()
    await withEngine(
      dir,
      async (engine) => {
        const held = holdTables(dir)
        await putMany(engine, 0, 20)
        held.release()
        await blockUntilApplied(dir, 1)
        // Not one tick of the event loop has passed: reads still find in the log what the tables have, too.
        for (let limit = 1; limit <= 20; limit++) {
          const page = engine.changes('', limit)
          if (page instanceof Promise) throw new Error('the event loop went on')
          expect(page.changes.map(revisionOf)).toEqual(Array.from({ length: limit }, (_, i) => i + 1))
          expect(page.next).toBe(String(limit))
        }
      },
      { segmentBytes },
    )
  })
})

describe('5: starting replays the tail, which is of bounded length', () => {
  test('the log is never longer than the segments that may be in memory', async () => {
    const dir = newFolder()
    let longest = 0
    await withEngine(
      dir,
      async (engine) => {
        for (let i = 0; i < 400; i++) {
          await write(engine, [put(`k${i % 90}`, value)])
          longest = Math.max(longest, logFiles(dir).length)
        }
      },
      { segmentBytes },
    )
    expect(longest).toBeGreaterThan(1)
    expect(longest).toBeLessThanOrEqual(maxSegments)
    expect(logFiles(dir)).toEqual([])
  })

  test('a tail of full length is replayed, may be read at once, and counts exactly', async () => {
    const dir = newFolder()
    let acknowledged = 0
    const killed = await withEngine(
      dir,
      async (engine) => {
        await putMany(engine, 0, 30)
        await write(engine, [put('k1', '1'), remove('k2')])
        await until(() => logFiles(dir).length === 1, 'the tables are up to date')
        const held = holdTables(dir)
        for (; logFiles(dir).length < maxSegments - 1; acknowledged++) {
          await write(engine, [put(`k${acknowledged}`, String(acknowledged)), put(`l${acknowledged}`, value)])
        }
        const copy = killedCopy(dir)
        held.release()
        return copy
      },
      { segmentBytes },
    )
    const bytes = logFiles(killed).reduce((sum, path) => sum + readFileSync(path).length, 0)
    expect(bytes).toBe((maxSegments - 1) * segmentBytes)
    await withEngine(
      killed,
      async (engine) => {
        const values = await valuesOf(engine)
        for (let i = 0; i < acknowledged; i++) expect(values[`k${i}`]).toBe(String(i))
        const keys = Object.keys(values)
        const counted = keys.reduce((sum, key) => sum + key.length + (values[key]?.length ?? 0), 0)
        expect(await engine.collections()).toEqual([
          { name: collection, members: keys.length, bytes: counted },
        ])
        await putMany(engine, 0, 30)
        expect((await feedOf(engine)).length).toBe(Object.keys(await valuesOf(engine)).length)
      },
      { segmentBytes },
    )
  })
})
