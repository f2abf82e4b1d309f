import { afterAll, expect, test } from 'bun:test'
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Engine } from '../../core/engine.ts'
import type { OpenOptions } from '../conformance/store.ts'
import { conformance } from '../conformance.ts'
import { openSqlite } from './engine.ts'
import { mappedBytes } from './table.ts'

const root = mkdtempSync(join(tmpdir(), 'kvist-engine-'))
afterAll(() => rmSync(root, { recursive: true, force: true }))

/** Segments of the usual size hold a whole test in memory; small ones have each commit near an edge of the log. */
for (const [name, segmentBytes, smallBytes] of [
  ['SQLite', 1024 * 1024, mappedBytes.small],
  ['SQLite with segments of 4 KiB', 4 * 1024, mappedBytes.small],
  ['SQLite with a file that is too large for writers to map', 4 * 1024, 0],
] as const) {
  function open({ store, from, durability, onCommit }: OpenOptions): Promise<Engine> {
    const dir = join(root, store)
    if (from !== undefined) {
      mkdirSync(dir)
      copyFileSync(from, join(dir, 'kvist.db'))
    }
    mappedBytes.small = smallBytes
    return openSqlite({ dir, durability, onCommit, segmentBytes })
  }
  conformance(name, open, { commitsSpanCollections: true })
}

test('a snapshot takes the place of no other file', async () => {
  const [dir, path] = [join(root, 'careful'), join(root, 'taken')]
  const engine = await openSqlite({ dir, durability: 'full', onCommit: () => {} })
  try {
    writeFileSync(path, 'precious')
    await expect(engine.snapshot(path)).rejects.toMatchObject({ code: 'storage_failed' })
    expect(readFileSync(path, 'utf8')).toBe('precious')
  } finally {
    await engine.close()
  }
})
