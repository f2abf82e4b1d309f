import { afterAll } from 'bun:test'
import { copyFileSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Engine } from '../../core/engine.ts'
import type { OpenOptions } from '../conformance/store.ts'
import { conformance } from '../conformance.ts'
import { openSqlite } from './engine.ts'

const root = mkdtempSync(join(tmpdir(), 'kvist-engine-'))
afterAll(() => rmSync(root, { recursive: true, force: true }))

/** Segments of the usual size hold a whole test in memory; small ones have each commit near an edge of the log. */
for (const [name, segmentBytes] of [
  ['SQLite', 1024 * 1024],
  ['SQLite with segments of 4 KiB', 4 * 1024],
] as const) {
  function open({ store, from, durability, onCommit }: OpenOptions): Promise<Engine> {
    const dir = join(root, store)
    if (from !== undefined) {
      mkdirSync(dir)
      copyFileSync(from, join(dir, 'kvist.db'))
    }
    return openSqlite({ dir, durability, onCommit, segmentBytes })
  }
  conformance(name, open, { commitsSpanCollections: true })
}
