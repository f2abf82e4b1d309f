import { rmSync } from 'node:fs'
import { join } from 'node:path'
import type { HybridClock } from '../../core/clock.ts'
import {
  type Commit,
  type CommitResult,
  type CommitWait,
  type Durability,
  type EngineStats,
  groupCommitBounds,
  type OnCommit,
  syncSecondsBounds,
} from '../../core/engine.ts'
import { KvistError } from '../../core/errors.ts'
import { type Histogram, histogram, observe } from '../../core/histogram.ts'
import { keyOf } from '../../core/member.ts'
import { monotonicMs } from '../../runtime/clock.ts'
import type { LogArchive } from './archive/archiver.ts'
import { batchesOf, latestTime } from './archive/noted-group.ts'
import type { FolderGuard } from './data-folder.ts'
import { addRecord, countRecord, type Memtable } from './memtable/memtable.ts'
import type { Overlay } from './overlay.ts'
import type { Reserve } from './reserve.ts'
import { type Group, givesRoomBack, type PlannedWrite, planWrites, roomOf, stageGroup } from './staging.ts'
import { readFault } from './table/damage.ts'
import type { Counts } from './table/table.ts'
import { frameHeaderBytes } from './wal/log.ts'
import { hasSpace, type LogDisk, makeFile } from './wal/log-files.ts'
import {
  appendFrame,
  closeLog,
  diskFull,
  ensureReserve,
  hasRoom,
  type LogFlusher,
  type LogWriter,
  maxSegments,
  openLogWriter,
  reserveSegmentWithRoom,
  rotate,
  segmentWithRoom,
  syncRelaxed,
} from './wal/log-writer.ts'
import { startWriteStall, type WriteStall } from './write-stall.ts'

/**
 * The commit pipeline. Commits that arrive while a group is on its way to disk form the next group, and a group goes
 * through every stage before the next one begins:
 *
 *   1. enqueue   `commit` plans the writes and queues them.
 *   2. group     `takeGroup` takes commits from the front of the queue, up to the size of one frame.
 *   3. reserve   `segmentWithRoom` finds room in the log; writers wait here when flushing is behind. On a full disk
 *                `reserveSegmentWithRoom` finds room for commits that give room back.
 *   4. stage     `stageGroup` evaluates the commits, each seeing those before it, and encodes their records.
 *   5. persist   `appendFrame` writes one frame, and syncs it if a commit is durable. A failure rejects the whole group,
 *                none of which was visible.
 *   6. publish   `publish` makes the group visible to readers all at once, and reports it to `onCommit`.
 *   7. resolve   `resolveGroup` resolves the commits.
 *   8. throttle  `throttle` pauses before the next group when writers run ahead of the flusher.
 *
 * Invariants: revisions are given out in stage 4 and become real in stage 6, so a failed group leaves no gap; nothing is
 * published, reported or resolved before it is on disk (relaxed commits: before it is written); and no commit is
 * resolved before it is reported.
 */
export interface Committer {
  commit(commit: Commit): Promise<CommitResult>
  /** Rotates the log before the next group; resolves when all published commits are queued for the flusher. */
  flush(): Promise<void>
  /** Syncs what relaxed commits wrote; resolves with a revision up to which all is on disk. */
  sync(): Promise<number>
  close(): Promise<void>
  lastRevision(): number
  /** See `Engine.writeFault`. */
  writeFault(): KvistError | null
  readonly stats: EngineStats
}

export interface CommitterOptions {
  readonly disk: LogDisk
  readonly dir: string
  readonly folder: FolderGuard
  readonly storeId: string
  readonly nodeId: string
  readonly durability: Durability
  readonly segmentBytes: number
  readonly overlay: Overlay
  readonly flusher: LogFlusher
  readonly reserve: Reserve
  readonly counts: Map<string, Counts>
  readonly clock: HybridClock
  readonly onCommit: OnCommit
  readonly lastRevision: number
  readonly lastSegment: number
  /** Null for none. */
  readonly archive: LogArchive | null
}

/** A commit in the queue. */
interface Pending {
  readonly commit: Commit
  readonly writes: readonly PlannedWrite[]
  /** Upper bound of the size of its records, in bytes. */
  readonly room: number
  resolve(result: CommitResult): void
  reject(error: unknown): void
}

/**
 * The state of the pipeline. Only the loop (`drain`) changes its mutable fields, except `draining`, `queuedAtMs` and
 * `isClosing`, and the probe's `isProbing` and `writeFault`.
 */
interface Pipeline {
  readonly options: CommitterOptions
  readonly queue: Pending[]
  readonly log: LogWriter
  readonly writeStall: WriteStall
  readonly stats: Stats
  /** Resolvers of `flush` calls, called once the log is rotated. */
  flushes: (() => void)[]
  lastRevision: number
  /** When the first commit of the queue arrived. */
  queuedAtMs: number
  lastCommitAtMs: number
  /** The end of the last group in its segment, as `throttle` saw it. */
  throttledEnd: number
  /** The loop while it runs; null while the queue is empty. */
  draining: Promise<void> | null
  isClosing: boolean
  /** Why writes fail: the fault of the last group or probe; null after one that succeeded. */
  writeFault: KvistError | null
  isProbing: boolean
}

interface Stats extends EngineStats {
  commits: number
  failedChecks: number
  writes: number
  readonly groupCommits: Histogram
  readonly syncSeconds: Histogram
  readonly waitSeconds: Readonly<Record<CommitWait, Histogram>>
}

const maxGroupBytes = 8 * 1024 * 1024
/** After this long without a commit the log is flushed. */
const idleMs = 1000
const relaxedSyncMs = 1000
/** How often a store that cannot write probes whether it can again. */
const probeMs = 1000

export function startCommitter(options: CommitterOptions): Committer {
  const pipeline = newPipeline(options)
  const idleTimer = setInterval(() => flushIdle(pipeline), idleMs)
  const probeTimer = setInterval(() => probe(pipeline), probeMs)
  const syncTimer = setInterval(() => syncRelaxed(pipeline.log).catch(() => {}), relaxedSyncMs)
  idleTimer.unref()
  probeTimer.unref()
  syncTimer.unref()
  return {
    commit: (commit) => enqueue(pipeline, commit),
    flush: () => enqueueFlush(pipeline),
    async sync() {
      const { lastRevision } = pipeline
      await syncRelaxed(pipeline.log)
      return lastRevision
    },
    async close() {
      pipeline.isClosing = true
      clearInterval(idleTimer)
      clearInterval(probeTimer)
      clearInterval(syncTimer)
      while (pipeline.draining !== null) await pipeline.draining
      await closeLog(pipeline.log, pipeline.lastRevision)
    },
    lastRevision: () => pipeline.lastRevision,
    writeFault: () => pipeline.writeFault,
    stats: pipeline.stats,
  }
}

function newPipeline(options: CommitterOptions): Pipeline {
  const { dir, segmentBytes, reserve } = options
  const stats = {
    commits: 0,
    failedChecks: 0,
    writes: 0,
    groupCommits: histogram(groupCommitBounds),
    syncSeconds: histogram(syncSecondsBounds),
    waitSeconds: {
      group: histogram(syncSecondsBounds),
      segment: histogram(syncSecondsBounds),
      throttle: histogram(syncSecondsBounds),
    },
  }
  return {
    options,
    queue: [],
    log: openLogWriter({ ...options, syncSeconds: stats.syncSeconds }),
    writeStall: startWriteStall(),
    stats,
    flushes: [],
    lastRevision: options.lastRevision,
    queuedAtMs: 0,
    lastCommitAtMs: 0,
    throttledEnd: 0,
    draining: null,
    isClosing: false,
    writeFault: hasSpace(dir, segmentBytes + reserve.missingBytes()) ? null : diskFull(),
    isProbing: false,
  }
}

function enqueue(pipeline: Pipeline, commit: Commit): Promise<CommitResult> {
  if (pipeline.isClosing) return Promise.reject(new KvistError('closing', 'the server is stopping'))
  return new Promise((resolve, reject) => {
    const writes = planWrites(pipeline.options.overlay, commit.writes)
    if (pipeline.queue.length === 0) pipeline.queuedAtMs = monotonicMs()
    pipeline.queue.push({ commit, writes, room: roomOf(writes), resolve, reject })
    startDraining(pipeline)
  })
}

function enqueueFlush(pipeline: Pipeline): Promise<void> {
  if (pipeline.isClosing) return Promise.reject(new KvistError('closing', 'the server is stopping'))
  return new Promise((resolve) => {
    pipeline.flushes.push(resolve)
    startDraining(pipeline)
  })
}

/** Starts the loop in a microtask, so that the first group holds all commits of the current callback. */
function startDraining(pipeline: Pipeline): void {
  pipeline.draining ??= Promise.resolve(pipeline).then(drain)
}

async function drain(pipeline: Pipeline): Promise<void> {
  const { queue } = pipeline
  while (queue.length > 0 || pipeline.flushes.length > 0) {
    if (pipeline.flushes.length > 0) {
      rotate(pipeline.log, pipeline.lastRevision)
      for (const resolve of pipeline.flushes) resolve()
      pipeline.flushes = []
    }
    if (queue.length === 0) break
    await commitOrReject(pipeline, takeGroup(queue, maxGroupBytes), segmentWithRoom)
  }
  pipeline.draining = null
}

/** Stage 3: finds the segment for the group's frame. */
type FindSegment = typeof segmentWithRoom

/** Commits a group. On a failure commits those of its commits that still can be, and rejects the others. */
async function commitOrReject(
  pipeline: Pipeline,
  pending: readonly Pending[],
  findSegment: FindSegment,
): Promise<void> {
  try {
    await commitGroup(pipeline, pending, findSegment)
    if (findSegment === segmentWithRoom) pipeline.writeFault = null
    await throttle(pipeline)
  } catch (error) {
    const fault = asKvistError(error)
    noteWriteFault(pipeline, fault)
    if (isDamage(error) && pending.length > 1) {
      // A member that the group replaces is damaged: retry one by one, so that only commits that replace it fail.
      // Staging left no trace of the group.
      for (const one of pending) await commitOrReject(pipeline, [one], findSegment)
    } else if (fault.code === 'storage_full' && findSegment === segmentWithRoom) {
      await commitFromReserve(pipeline, pending, fault)
    } else for (const { reject } of pending) reject(fault)
  }
}

/** On a full disk: commits those that give room back to the reserve's segment, and rejects the others. */
async function commitFromReserve(
  pipeline: Pipeline,
  pending: readonly Pending[],
  fault: KvistError,
): Promise<void> {
  const accepted: Pending[] = []
  for (const one of pending) {
    if (one.writes.every(givesRoomBack)) accepted.push(one)
    else one.reject(fault)
  }
  const maxBytes = Math.min(maxGroupBytes, pipeline.options.segmentBytes / 2)
  while (accepted.length > 0)
    await commitOrReject(pipeline, takeGroup(accepted, maxBytes), reserveSegmentWithRoom)
}

/** The codes that mean that no write is possible now; other codes concern a single commit. */
const writeFaults: ReadonlySet<string> = new Set(['storage_failed', 'storage_full', 'busy'])

function noteWriteFault(pipeline: Pipeline, error: KvistError): void {
  if (writeFaults.has(error.code)) pipeline.writeFault = error
}

/** While writes fail and none arrive (a balancer heeds `/readyz`), tests whether a write would succeed again. */
async function probe(pipeline: Pipeline): Promise<void> {
  const { writeFault, draining, isProbing } = pipeline
  if (writeFault === null || draining !== null || isProbing) return
  // Until the flusher has released a segment no write succeeds, even with free space on the disk.
  if (!hasRoom(pipeline.log.options)) return
  if (writeFault.code === 'busy') pipeline.writeFault = null
  else await probeDisk(pipeline)
}

/** Completes the reserve, then makes and removes a file of a segment's size: a write needs both. */
async function probeDisk(pipeline: Pipeline): Promise<void> {
  const { dir, folder, segmentBytes, flusher } = pipeline.options
  const path = join(dir, 'spare-probe')
  pipeline.isProbing = true
  try {
    folder.check()
    await ensureReserve(pipeline.log)
    if (!flusher.hasFile()) await makeFile(path, segmentBytes)
    pipeline.writeFault = null
  } catch (error) {
    noteWriteFault(pipeline, asKvistError(error))
  } finally {
    rmSync(path, { force: true })
    pipeline.isProbing = false
  }
}

function isDamage(error: unknown): boolean {
  return readFault(error).code === 'damaged'
}

/** Removes commits from the front of the queue, at least one, up to `maxBytes`. */
function takeGroup(queue: Pending[], maxBytes: number): Pending[] {
  let bytes = 0
  let count = 0
  while (count < queue.length && (count === 0 || bytes + queue[count]!.room <= maxBytes)) {
    bytes += queue[count]!.room
    count++
  }
  return queue.splice(0, count)
}

async function commitGroup(
  pipeline: Pipeline,
  pending: readonly Pending[],
  findSegment: FindSegment,
): Promise<void> {
  const { options, log, lastRevision } = pipeline
  const { waitSeconds } = pipeline.stats
  const takenAtMs = monotonicMs()
  observe(waitSeconds.group, (takenAtMs - pipeline.queuedAtMs) / 1000)
  let room = frameHeaderBytes
  for (const one of pending) room += one.room
  const active = await findSegment(log, room, lastRevision)
  observe(waitSeconds.segment, (monotonicMs() - takenAtMs) / 1000)
  const group = stageGroup(pending, active.segment, options, lastRevision)
  if (group.offsets.length > 0) {
    await appendFrame(log, active, group.end, isDurable(options, pending), lastRevision)
    publish(pipeline, active.memtable, group)
    if (options.archive !== null) {
      options.archive.note(
        pipeline.lastRevision,
        latestTime(pending),
        batchesOf(pending, group.results, lastRevision),
      )
    }
    observe(pipeline.stats.groupCommits, pending.length)
  }
  resolveGroup(pipeline.stats, pending, group)
}

function isDurable({ durability }: CommitterOptions, pending: readonly Pending[]): boolean {
  return pending.some(({ commit }) => (commit.durability ?? durability) === 'full')
}

/** Makes the whole group visible to readers in one tick, and reports it to `onCommit`. */
function publish(pipeline: Pipeline, table: Memtable, { changes, offsets }: Group): void {
  const { options, lastRevision, stats } = pipeline
  for (let i = 0; i < changes.length; i++) {
    const change = changes[i]!
    addRecord(table, offsets[i]!, change.collection, keyOf(change))
    countRecord(options.counts, change.collection, table.chunk, offsets[i]!)
  }
  pipeline.lastRevision += changes.length
  stats.writes += changes.length
  pipeline.lastCommitAtMs = monotonicMs()
  options.onCommit(changes, (index) => String(lastRevision + index + 1))
}

function resolveGroup(stats: Stats, pending: readonly Pending[], { results }: Group): void {
  for (let i = 0; i < pending.length; i++) {
    const result = results[i]!
    if (result.ok) stats.commits++
    else if ('failed' in result) stats.failedChecks++
    pending[i]!.resolve(result)
  }
}

async function throttle(pipeline: Pipeline): Promise<void> {
  const { flusher, segmentBytes } = pipeline.options
  const end = pipeline.log.active?.segment.end ?? 0
  const bytes = end < pipeline.throttledEnd ? end : end - pipeline.throttledEnd
  pipeline.throttledEnd = end
  const room = (maxSegments - flusher.waiting()) * segmentBytes - end
  const nowMs = monotonicMs()
  const pauseMs = pipeline.writeStall.pauseMs(
    nowMs,
    bytes,
    // A lower bound: near zero room the pause would grow without limit.
    Math.max(room, segmentBytes / 16),
    flusher.busyForMs(),
  )
  if (pauseMs > 0) {
    flusher.hurry()
    await Bun.sleep(pauseMs)
  }
  observe(pipeline.stats.waitSeconds.throttle, pauseMs > 0 ? (monotonicMs() - nowMs) / 1000 : 0)
}

function flushIdle(pipeline: Pipeline): void {
  if (pipeline.draining !== null || monotonicMs() - pipeline.lastCommitAtMs <= idleMs) return
  rotate(pipeline.log, pipeline.lastRevision)
  pipeline.options.flusher.idle()
}

/** Error codes for lack of space; EFBIG and EDQUOT are limits of the file and the user. */
const fullCodes = new Set(['ENOSPC', 'EDQUOT', 'EFBIG'])

function asKvistError(error: unknown): KvistError {
  if (error instanceof KvistError) return error
  if (isDamage(error)) return readFault(error)
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  if (fullCodes.has(code)) return diskFull(error)
  return new KvistError('storage_failed', 'the log cannot be written', {}, error)
}
