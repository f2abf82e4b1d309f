import { afterAll } from 'bun:test'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { isLongRun } from '../../../test/support/long-run.ts'
import type { Engine } from '../../core/engine.ts'
import type { OpenOptions, Phase } from '../conformance/store.ts'
import { conformance } from '../conformance.ts'
import { openSqlite } from './engine.ts'
import { mappedBytes } from './table/sql-connection.ts'

const root = mkdtempSync(join(tmpdir(), 'kvist-engine-'))
const usualSmall = mappedBytes.small
afterAll(() => {
  mappedBytes.small = usualSmall
  rmSync(root, { recursive: true, force: true })
})

const allPhases: readonly Phase[] = ['as written', 'with a restart midway', 'after a restart']
/** In this one members are read from the log and from the tables. */
const midway: readonly Phase[] = ['with a restart midway']
const unmapped = ['SQLite with a file that is too large for writers to map', 4 * 1024, 0, allPhases] as const

/**
 * Large segments hold a whole test in memory; small ones have each commit near an edge of the log. How writers read a file that
 * is not mapped is in replaced.test.ts, too.
 */
for (const [name, segmentBytes, smallBytes, phases] of [
  ['SQLite', 512 * 1024, usualSmall, allPhases],
  ['SQLite with segments of 4 KiB', 4 * 1024, usualSmall, isLongRun ? allPhases : midway],
  ...(isLongRun ? [unmapped] : []),
] as const) {
  function open({ store, durability, onCommit }: OpenOptions): Promise<Engine> {
    mappedBytes.small = smallBytes
    return openSqlite({ dir: join(root, store), durability, onCommit, segmentBytes })
  }
  conformance(name, open, { commitSpans: 'store', isDurable: true, phases })
}
