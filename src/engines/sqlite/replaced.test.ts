import { afterEach, expect, test } from 'bun:test'
import { newFolder, withEngine } from '../../../test/support/engine.ts'
import { put, remove, write } from '../../../test/support/engine-writes.ts'
import type { Engine } from '../../core/engine.ts'
import type { SqliteEngine } from './engine.ts'
import { mappedBytes } from './table/sql-connection.ts'

/** What a write replaces is found wherever it is, although keys behind all those of the tables are not looked for there. */

const usualSmall = mappedBytes.small
afterEach(() => {
  mappedBytes.small = usualSmall
})

/** Pins: all writes are in the tables then, and no longer in memory. */
async function flush(engine: SqliteEngine): Promise<void> {
  const pinned = await engine.pin()
  pinned.release()
}

for (const [name, smallBytes] of [
  ['mapped', usualSmall],
  ['too large to be mapped', 0],
] as const) {
  test(`members are replaced and counted once, before and behind the last key of a file that is ${name}`, async () => {
    mappedBytes.small = smallBytes
    const dir = newFolder()
    const counted = async (engine: Engine) => (await engine.collections()).map(({ members }) => members)
    const existed = async (engine: Engine, ...keys: string[]) =>
      (
        await write(
          engine,
          keys.map((key) => put(key, '1')),
        )
      ).map((one) => one.existed)

    await withEngine(dir, async (engine) => {
      expect(await existed(engine, 'b', 'd')).toEqual([false, false])
      await flush(engine)
      expect(await existed(engine, 'a', 'b', 'c', 'd', 'e')).toEqual([false, true, false, true, false])
      await flush(engine)
      expect(await existed(engine, 'a', 'e', 'f', 'é', '日本')).toEqual([true, true, false, false, false])
      await flush(engine)
      // The last key of the next flush is before that of the tables.
      expect(await existed(engine, 'aa')).toEqual([false])
      await flush(engine)
      expect(await existed(engine, 'f', 'é', '日本', '🌍')).toEqual([true, true, true, false])
      await write(engine, [remove('日本'), remove('🌍')])
      await flush(engine)
      expect(await existed(engine, '日本', '🌍')).toEqual([false, false])
      expect(await counted(engine)).toEqual([10])
    })
    await withEngine(dir, async (engine) => {
      // What the tables had before is not bounded by what is flushed now.
      expect(await existed(engine, 'b')).toEqual([true])
      await flush(engine)
      expect(await existed(engine, 'f', '🌍', '🌍🌍')).toEqual([true, true, false])
      await flush(engine)
      expect(await existed(engine, '🌍', '🌍🌍')).toEqual([true, true])
      expect(await counted(engine)).toEqual([11])
    })
  })
}

test('a commit that fails a check leaves the members behind it their versions', async () => {
  await withEngine(newFolder(), async (engine) => {
    await write(engine, [put('a', '1'), put('b', '1')])
    // More members than are read in one batch.
    const { collection, key } = put('a')
    const ref = { collection, key }
    const many = Array.from({ length: 600 }, (_, i) => put(`m${i}`, '1'))
    const checks = Array.from({ length: 10 }, () => ({ ...ref, revision: null }))
    const [failed, done] = await Promise.all([
      engine.commit({ checks, writes: many, nowMs: 0 }),
      engine.commit({ checks: [], writes: [put('b', '2'), put('n', '2'), put('a', '2')], nowMs: 0 }),
    ])
    expect(failed.ok).toBeFalse()
    expect(done.ok && done.written.map(({ existed }) => existed)).toEqual([true, false, true])
  })
})
