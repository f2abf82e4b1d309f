import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { hybridClock } from '../../src/core/clock.ts'
import type { Durability, Put } from '../../src/core/engine.ts'
import { type Committer, startCommitter } from '../../src/engines/sqlite/committer.ts'
import type { RotatedSegment } from '../../src/engines/sqlite/flush/flusher.ts'
import { addStoredRecord, memtable } from '../../src/engines/sqlite/memtable/memtable.ts'
import { cutTornTail } from '../../src/engines/sqlite/wal/accept-damage.ts'
import { type Chunk, recordKey, recordPosition } from '../../src/engines/sqlite/wal/record.ts'
import { readLog } from '../../src/engines/sqlite/wal/recovery.ts'
import { emptyOverlay, idleFlusher, unusedReserve } from '../support/pipeline-parts.ts'
import type { Random } from '../support/random.ts'
import { newFolder } from '../support/server.ts'
import { type SimulatedDisk, simulatedDisk } from '../support/simulated-disk.ts'
import { type Fault, repeatFor } from './fault.ts'

/**
 * The commit pipeline in one process, on a simulated disk: which call ends next, which fails, when segments are flushed and
 * when the power is cut is drawn from the seed. The same seed does the same again.
 */
export const powerCuts: Fault = {
  name: 'power-cuts',
  does: 'the commit pipeline on a simulated disk that fails and loses power: nothing acknowledged is lost, nothing is halved',
  async round({ random, budgetMs }) {
    const dir = newFolder()
    const figures = { cuts: 0, acknowledged: 0, rejected: 0, flushes: 0 }
    try {
      await repeatFor(budgetMs, async () => {
        const store = newStore(dir, random, figures)
        for (let life = 0; life < 8; life++) await liveUntilPowerCut(store)
      })
      return figures
    } finally {
      rmSync(dir, { recursive: true, force: true })
    }
  },
}

const collection = 'c'
const storeId = 'simulated-store!'
const segmentBytes = 4096
const maxSegmentsWaiting = 6

interface Figures {
  cuts: number
  acknowledged: number
  rejected: number
  flushes: number
}

/** A batch of puts to keys that no other has. */
interface Batch {
  readonly keys: readonly string[]
  readonly durability: Durability
  state: 'under way' | 'acknowledged' | 'rejected'
}

interface Store {
  readonly dir: string
  readonly random: Random
  readonly figures: Figures
  files: Map<string, Buffer>
  /** What the tables have: keys by revision. */
  readonly tables: Map<number, string>
  readonly lostRevisions: { first: number; last: number }[]
  /** Keys that were read at a start, by revision: they stay. */
  known: Map<number, string>
  batches: Batch[]
  batchesMade: number
}

function newStore(dir: string, random: Random, figures: Figures): Store {
  const [tables, known] = [new Map<number, string>(), new Map<number, string>()]
  return {
    dir,
    random,
    figures,
    files: new Map(),
    tables,
    lostRevisions: [],
    known,
    batches: [],
    batchesMade: 0,
  }
}

async function liveUntilPowerCut(store: Store): Promise<void> {
  const { random, figures } = store
  const start = recover(store)
  const disk = simulatedDisk(store.files, random)
  const pipeline = startPipeline(store, disk, start)
  store.batches = []
  for (let steps = 20 + random.int(150); steps > 0; steps--) {
    if (random.oneIn(3)) beginBatch(store, pipeline.committer)
    else if (!disk.step() && random.oneIn(8)) pipeline.committer.flush().catch(() => {})
    if (pipeline.waiting() > maxSegmentsWaiting || (pipeline.waiting() > 0 && random.oneIn(40)))
      pipeline.flush()
    await settle()
  }
  store.files = disk.afterPowerCut()
  // Nothing that this life still does counts.
  store.batches = store.batches.map((batch) => ({ ...batch }))
  figures.cuts++
  const closed = pipeline.committer.close()
  while (disk.step() || (await Promise.race([closed.then(() => false), settle().then(() => true)])));
  await closed
}

/** Lets everything that follows from the last step happen. */
function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

function beginBatch(store: Store, committer: Committer): void {
  const { random, figures } = store
  const name = `b${store.batchesMade++}`
  const keys = Array.from({ length: 1 + random.int(4) }, (_, i) => `${name}-${i}`)
  const durability = random.oneIn(2) ? 'relaxed' : 'full'
  const batch: Batch = { keys, durability, state: 'under way' }
  store.batches.push(batch)
  const value = 'x'.repeat(random.int(random.oneIn(5) ? 1500 : 100))
  const writes = keys.map((key): Put => {
    return { op: 'put', collection, key, value, contentType: '', flags: 0, expiresAtMs: null }
  })
  committer.commit({ checks: [], writes, nowMs: 1, durability }).then(
    () => {
      batch.state = 'acknowledged'
      figures.acknowledged++
    },
    () => {
      batch.state = 'rejected'
      figures.rejected++
    },
  )
}

interface Start {
  readonly segments: readonly {
    readonly number: number
    readonly path: string
    readonly chunk: Chunk
    readonly records: readonly number[]
  }[]
  readonly lastRevision: number
  readonly lastSegment: number
}

/** What a start does with the log that is left, and what has to be in it. */
function recover(store: Store): Start {
  const { dir, files, tables, lostRevisions } = store
  rmSync(dir, { recursive: true, force: true })
  mkdirSync(dir, { recursive: true })
  for (const [name, bytes] of files) if (name.startsWith('log-')) writeFileSync(join(dir, name), bytes)
  const flushedRevision = Math.max(0, ...tables.keys())
  const log = readLog(dir, { storeId, flushedRevision, lostRevisions })
  if (log.damage !== null)
    throw new Error(`a power cut is taken for damage: ${log.damage.what} in ${log.damage.path}`)
  const found = new Map(tables)
  for (const { chunk, records } of log.segments)
    for (const at of records) found.set(recordPosition(chunk, at), recordKey(chunk, at))
  requireRight(store, found)
  let { lastRevision } = log
  if (log.torn !== null && log.torn.frames > 0) {
    if (log.highestRevision > lastRevision)
      lostRevisions.push({ first: lastRevision + 1, last: log.highestRevision })
    cutTornTail(log.torn)
    lastRevision = Math.max(lastRevision, log.highestRevision)
  }
  lastRevision = Math.max(lastRevision, lostRevisions.at(-1)?.last ?? 0)
  const segments = log.segments.filter(({ records }) => records.length > 0)
  const needed = new Set(segments.map(({ path }) => path))
  store.known = found
  store.files = new Map(
    readdirSync(dir).flatMap((name) => {
      const path = join(dir, name)
      return needed.has(path) ? [[name, readFileSync(path)] as const] : []
    }),
  )
  return { segments, lastRevision, lastSegment: log.highestNumber }
}

/** Of the batches of the last life: each whole or not there, in order, and none missing that was acknowledged as on disk. */
function requireRight({ known, batches }: Store, found: ReadonlyMap<number, string>): void {
  for (const [revision, key] of known)
    if (found.get(revision) !== key)
      throw new Error(`revision ${revision} was ${key} and is ${found.get(revision)}`)
  const keys = [...found].toSorted(([a], [b]) => a - b).map(([, key]) => key)
  if (new Set(keys).size !== keys.length) throw new Error('a key that was put once is there twice')
  const added = keys.slice(known.size)
  const isThere = new Set(added)
  const expected: string[] = []
  let missing: Batch | null = null
  for (const batch of batches) {
    const count = batch.keys.filter((key) => isThere.has(key)).length
    if (count > 0 && count < batch.keys.length) throw new Error(`of ${batch.keys} only ${count} are there`)
    if (count > 0) {
      // What was rejected leaves no gap; what was acknowledged and is gone must be the end.
      if (missing !== null) throw new Error(`${missing.keys} is gone, and ${batch.keys} after it is there`)
      expected.push(...batch.keys)
    } else if (batch.state === 'acknowledged') {
      if (batch.durability === 'full') throw new Error(`${batch.keys} was acknowledged and is gone`)
      missing = batch
    }
  }
  if (added.join() !== expected.join()) throw new Error(`there is ${added}, in place of ${expected}`)
}

interface RunningPipeline {
  readonly committer: Committer
  waiting(): number
  /** Brings the oldest segment to the tables. */
  flush(): void
}

function startPipeline(store: Store, disk: SimulatedDisk, start: Start): RunningPipeline {
  const { dir, tables, figures } = store
  const queue: RotatedSegment[] = []
  const recycled: { readonly chunk: Chunk; readonly path: string }[] = []
  const overlay = emptyOverlay()
  for (const { number, path, chunk, records } of start.segments) {
    const table = memtable(chunk)
    for (const at of records) addStoredRecord(table, at)
    overlay.tables.push(table)
    const lastRevision = recordPosition(chunk, records.at(-1)!)
    queue.push({ number, path, lastRevision, memtable: table, onFlushed() {} })
  }
  const flusher = {
    ...idleFlusher,
    add: (segment: RotatedSegment) => void queue.push(segment),
    reuse: async () => recycled.pop() ?? { chunk: null, path: null },
    hasFile: () => recycled.length > 0,
  }
  function flush(): void {
    const segment = queue.shift()!
    const { chunk, offsets } = segment.memtable
    for (const at of offsets) tables.set(recordPosition(chunk, at), recordKey(chunk, at))
    figures.flushes++
    segment.onFlushed()
    overlay.tables.splice(overlay.tables.indexOf(segment.memtable), 1)
    const path = join(dir, `spare-${segment.number}`)
    disk.renameNow(segment.path, path)
    if (chunk.bytes.length === segmentBytes) recycled.push({ chunk, path })
  }
  const committer = startCommitter({
    archive: null,
    disk,
    dir,
    folder: { check() {} },
    storeId,
    nodeId: 'n',
    durability: 'full',
    segmentBytes,
    overlay,
    flusher,
    reserve: unusedReserve,
    counts: new Map(),
    clock: hybridClock(),
    onCommit() {},
    lastRevision: start.lastRevision,
    lastSegment: start.lastSegment,
  })
  return { committer, waiting: () => queue.length, flush }
}
