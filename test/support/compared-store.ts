import { type Database, openDatabase } from '../../src/core/database.ts'
import type { Engine } from '../../src/core/engine.ts'
import { replicateLines } from '../../src/http/v1/replicate.ts'
import { type CompareOptions, type Difference, differences } from '../../src/replication/compare.ts'
import { type ComparedNode, localNode } from '../../src/replication/compared-node.ts'
import {
  addCounts,
  type Choice,
  nothingSynced,
  type SyncCounts,
  syncDifferences,
} from '../../src/replication/sync.ts'
import { manualTimers } from './manual-timers.ts'
import { openTestEngine } from './test-engine.ts'

/** A store that is compared with others in this process. */
export interface ComparedStore {
  readonly db: Database
  readonly engine: Engine
  readonly node: ComparedNode
}

export async function comparedStore(now: () => number): Promise<ComparedStore> {
  let engine: Engine | null = null
  const db = await openDatabase({
    async open(onCommit) {
      engine = await openTestEngine(onCommit)
      return engine
    },
    cacheBytes: 1 << 20,
    now,
    timers: manualTimers(),
    recordsRenewals: () => true,
    onError(error) {
      throw error
    },
  })
  return {
    db,
    engine: engine!,
    node: localNode({ db, now, apply: (lines, sender) => applyTo(db, now, lines, sender) }),
  }
}

/** Applies lines of another node to a store. */
export function applyTo(db: Database, now: () => number, lines: string, sender: string) {
  const receiver = {
    watchOf: () => ({ isConflict: () => false, onConflict() {}, onApplied() {}, onReceived: async () => {} }),
  }
  return replicateLines(db, receiver, { parts: onePart(lines), sender, now })
}

async function* onePart(text: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(text)
}

/** Compares everything; nothing is on its way. */
export const everything: CompareOptions = {
  isCompared: (collection) => collection !== '_tokens',
  elapsedMs: () => 0,
  sleep: async () => {},
  onItsWayMs: 0,
}

export async function compared(
  a: ComparedNode,
  b: ComparedNode,
  options: Partial<CompareOptions> = {},
): Promise<Difference[]> {
  const found: Difference[] = []
  for await (const some of differences(a, b, { ...everything, ...options })) found.push(...some)
  return found
}

export async function synced(
  a: ComparedNode,
  b: ComparedNode,
  choice: Choice = 'leave',
  options: Partial<CompareOptions> = {},
): Promise<SyncCounts> {
  let sum = nothingSynced
  for await (const some of differences(a, b, { ...everything, ...options }))
    sum = addCounts(sum, await syncDifferences(a, b, some, choice))
  return sum
}
