import { expect, test } from 'bun:test'
import { newFolder, withEngine } from '../../../test/support/engine.ts'
import { noonMs, put, remove, write } from '../../../test/support/engine-writes.ts'
import type { Write } from '../../core/engine.ts'

test('what is due is found in the tables, whatever they had when it was asked before', async () => {
  await withEngine(newFolder(), async (engine) => {
    const due = async (atMs: number) => (await engine.expiring(atMs, 10)).map(({ key }) => key)
    const flush = async (...writes: Write[]) => {
      await write(engine, writes, { nowMs: noonMs - 2000 })
      // A pin comes after all writes are in the tables, and no longer in memory.
      const pinned = await engine.pin()
      pinned.release()
    }
    expect(await due(noonMs)).toEqual([])
    await flush(put('late', '1', noonMs))
    expect(await due(noonMs - 1)).toEqual([])
    expect(await due(noonMs)).toEqual(['late'])
    await flush(put('early', '1', noonMs - 1000))
    expect(await due(noonMs - 1)).toEqual(['early'])
    await flush(remove('early'))
    expect(await due(noonMs - 1)).toEqual([])
    expect(await due(noonMs)).toEqual(['late'])
  })
})
