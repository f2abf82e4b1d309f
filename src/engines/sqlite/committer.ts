import { closeSync, rmSync } from 'node:fs'
import type { HybridClock } from '../../core/clock.ts'
import { distribution, observe } from '../../core/distribution.ts'
import {
  type Check,
  type Commit,
  type CommitResult,
  type Delete,
  type Durability,
  type EngineStats,
  groupCommitBounds,
  type MemberRef,
  type OnCommit,
  type Renew,
  syncSecondsBounds,
  type Write,
  type Written,
} from '../../core/engine.ts'
import { KvistError } from '../../core/errors.ts'
import { type Committed, isExpired, keyOf, type Member } from '../../core/member.ts'
import type { Applier } from './applier.ts'
import {
  acceptFrame,
  createSegment,
  cutFrame,
  frameHeaderBytes,
  newChunk,
  type Segment,
  segmentHeaderBytes,
  syncSegment,
  writeFrame,
} from './log.ts'
import { addRecord, countRecord, type Memtable, memtable } from './memtable.ts'
import { foreseeMember, type Overlay, readMember, readStanding, recordStanding } from './overlay.ts'
import { startPace } from './pace.ts'
import { maxForeseen } from './pages.ts'
import { type Chunk, encodeRecord, type RecordFields, recordRoom, type Standing } from './record.ts'
import type { Counts } from './table.ts'

/**
 * Commits, one group after the other. All that arrived while the last group went to disk is one frame of the log,
 * one write and one sync. Only when that is done do readers see it, the cache and the watchers hear of it, and the
 * clients get their answers; so nobody is ever told of a change that a crash could take back.
 */
export interface Committer {
  commit(commit: Commit): Promise<CommitResult>
  /** Seals what the log has so far and queues it for the tables, before the next group. */
  flush(): Promise<void>
  close(): Promise<void>
  lastRevision(): number
  readonly stats: EngineStats
}

/** A renewal with the member that has the revision it asks for; null when none has, and so none will have. */
interface Renewing extends Renew {
  readonly member: Member | null
}

type Planned = Write | Renewing

interface Pending {
  readonly commit: Commit
  readonly writes: readonly Planned[]
  readonly room: number
  resolve(result: CommitResult): void
  reject(error: unknown): void
}

interface Active {
  readonly segment: Segment
  readonly memtable: Memtable
  readonly openedAtMs: number
}

/** A group of commits in the chunk, on its way to disk. */
interface Group {
  /** What each commit will be told. */
  readonly results: CommitResult[]
  /** What it does, and where in the chunk the record of each is. */
  readonly changes: Committed[]
  readonly offsets: number[]
  /** By collection and key, where the latest of them is. */
  readonly latest: Map<string, Map<string, number>>
  end: number
}

export interface CommitterOptions {
  readonly dir: string
  readonly storeId: string
  readonly durability: Durability
  readonly segmentBytes: number
  readonly overlay: Overlay
  readonly applier: Applier
  readonly counts: Map<string, Counts>
  readonly clock: HybridClock
  readonly onCommit: OnCommit
  readonly lastRevision: number
  readonly lastSegment: number
}

/** Segments that may be in memory at once, the one being written included. With their keys that is some 190 MB. */
export const maxSegments = 7
const maxSegmentRecords = 250_000
const maxGroupBytes = 8 * 1024 * 1024
const maxWaitMs = 30_000
/** A log that nobody writes to goes to the tables after this time, one that is written to after the other. */
const quietMs = 1000
const maxAgeMs = 10_000
const relaxedSyncMs = 1000

export function startCommitter(options: CommitterOptions): Committer {
  const { overlay, applier, counts, clock } = options
  const queue: Pending[] = []
  let active: Active | null = null
  let lastRevision = options.lastRevision
  let lastSegment = options.lastSegment
  let lastCommitAtMs = 0
  let draining: Promise<void> | null = null
  let closing = false
  let unsynced = false
  const pace = startPace()
  /** Where the last group ended in its segment. */
  let pacedEnd = 0
  /** Syncs of relaxed commits: what is written to a later segment must not be safe before they are. */
  let syncing: Promise<void> = Promise.resolve()
  let flushes: (() => void)[] = []
  const stats = {
    commits: 0,
    failedChecks: 0,
    writes: 0,
    groupCommits: distribution(groupCommitBounds),
    syncSeconds: distribution(syncSecondsBounds),
  }

  function commit(commit: Commit): Promise<CommitResult> {
    if (closing) return Promise.reject(new KvistError('closing', 'the server is stopping'))
    return new Promise((resolve, reject) => {
      const writes = plan(commit.writes)
      queue.push({ commit, writes, room: roomOf(writes), resolve, reject })
      begin()
    })
  }

  /** Whatever is in the queue when the callback under way ends is the first group. */
  function begin(): void {
    draining ??= Promise.resolve().then(drain)
  }

  function plan(writes: Commit['writes']): readonly Planned[] {
    return isWithoutRenewals(writes) ? writes : writes.map(planOne)
  }

  function planOne(write: Write | Renew): Planned {
    if (write.op !== 'renew') return write
    const member = readMember(overlay, write.collection, write.key)
    return { ...write, member: member?.revision === write.ifRevision ? member : null }
  }

  function flush(): Promise<void> {
    if (closing) return Promise.reject(new KvistError('closing', 'the server is stopping'))
    return new Promise((resolve) => {
      flushes.push(resolve)
      begin()
    })
  }

  async function drain(): Promise<void> {
    while (queue.length > 0 || flushes.length > 0) {
      if (flushes.length > 0) {
        seal()
        for (const flushed of flushes) flushed()
        flushes = []
      }
      if (queue.length === 0) break
      const pending = takeGroup(queue)
      try {
        await commitGroup(pending)
        await keepPace()
      } catch (error) {
        for (const { reject } of pending) reject(asKvistError(error))
      }
    }
    draining = null
  }

  async function commitGroup(pending: readonly Pending[]): Promise<void> {
    let room = frameHeaderBytes
    for (const one of pending) room += one.room
    const current = await activeWithRoom(room)
    if (overlay.isSmall) foreseeAll(pending)
    const group = stageGroup(pending, current)
    if (group.offsets.length > 0) {
      try {
        const crc = writeFrame(current.segment, group.end)
        if (pending.some(({ commit }) => isDurable(commit))) await sync(current.segment)
        else unsynced = true
        acceptFrame(current.segment, group.end, crc)
      } catch (error) {
        cutFrame(current.segment)
        seal()
        throw error
      }
      publish(current.memtable, group)
      observe(stats.groupCommits, pending.length)
    }
    for (let i = 0; i < pending.length; i++) {
      const result = group.results[i]!
      if (result.ok) stats.commits++
      else stats.failedChecks++
      pending[i]!.resolve(result)
    }
  }

  /** What the group replaces is looked for together: of a large one, what its first writes do. */
  function foreseeAll(pending: readonly Pending[]): void {
    let left = maxForeseen
    for (const { writes } of pending) {
      for (const write of writes) {
        if (left-- === 0) return
        foreseeMember(overlay, write)
      }
    }
  }

  /** Where the tables cannot keep up, writers are slowed down before there is no room at all. */
  async function keepPace(): Promise<void> {
    const { segmentBytes } = options
    const end = active === null ? 0 : active.segment.end
    const bytes = end < pacedEnd ? end : end - pacedEnd
    pacedEnd = end
    const room = (maxSegments - applier.waiting()) * segmentBytes - end
    // The last bit of room is not what counts: it would stop them.
    const pauseMs = pace.pauseMs(
      performance.now(),
      bytes,
      Math.max(room, segmentBytes / 16),
      applier.busyForMs(),
    )
    if (pauseMs > 0) await Bun.sleep(pauseMs)
  }

  async function sync(segment: Segment): Promise<void> {
    const startedMs = performance.now()
    await syncSegment(segment)
    observe(stats.syncSeconds, (performance.now() - startedMs) / 1000)
  }

  function isDurable(commit: Commit): boolean {
    return (commit.durability ?? options.durability) === 'full'
  }

  /** Evaluates the commits one after the other, each seeing those before it, and encodes what they write. */
  function stageGroup(pending: readonly Pending[], { segment }: Active): Group {
    const end = segment.end + frameHeaderBytes
    const group: Group = { results: [], changes: [], offsets: [], latest: new Map(), end }
    for (const one of pending) group.results.push(stageCommit(one, segment.chunk, group))
    return group
  }

  function stageCommit({ commit, writes }: Pending, chunk: Chunk, group: Group): CommitResult {
    const { checks, nowMs } = commit
    for (const check of checks) {
      const revision = failedCheck(check, standing(check, chunk, group), nowMs)
      if (revision !== undefined) {
        return { ok: false, failed: { collection: check.collection, key: check.key, revision } }
      }
    }
    return { ok: true, written: writes.map((write) => stageWrite(write, nowMs, chunk, group)) }
  }

  function standing(ref: MemberRef, chunk: Chunk, group: Group): Standing | null {
    const at = group.latest.get(ref.collection)?.get(ref.key)
    return at === undefined ? readStanding(overlay, ref) : recordStanding(chunk, at)
  }

  function stageWrite(write: Planned, nowMs: number, chunk: Chunk, group: Group): Written {
    const before = standing(write, chunk, group)
    const existed = before !== null && !isExpired(before, nowMs)
    if (write.op === 'delete' && !mayDelete(write, before, existed)) return nothingDone
    if (write.op === 'renew' && !(existed && mayRenew(write, before))) return nothingDone
    const place = lastRevision + group.offsets.length + 1
    const written =
      write.op === 'renew'
        ? renewed(write.member!)
        : {
            revision: place,
            createdAtMs: existed ? before.createdAtMs : nowMs,
            clock: clock.next(nowMs),
            existed,
          }
    const at = group.end
    group.end = encodeRecord(chunk, at, recordOf(write, written, place, before))
    group.offsets.push(at)
    group.changes.push(changeOf(write, written))
    let latest = group.latest.get(write.collection)
    if (latest === undefined) {
      latest = new Map()
      group.latest.set(write.collection, latest)
    }
    latest.set(write.key, at)
    return written
  }

  /** Readers see the group from here on, all of it at once. */
  function publish(table: Memtable, { changes, offsets }: Group): void {
    const before = lastRevision
    for (let i = 0; i < changes.length; i++) {
      const change = changes[i]!
      addRecord(table, offsets[i]!, change.collection, keyOf(change))
      countRecord(counts, change.collection, table.chunk, offsets[i]!)
    }
    lastRevision += changes.length
    stats.writes += changes.length
    lastCommitAtMs = Date.now()
    options.onCommit(changes, (index) => String(before + index + 1))
  }

  async function activeWithRoom(bytes: number): Promise<Active> {
    if (active !== null && isFull(active, bytes)) seal()
    if (active === null) {
      await roomForSegment()
      await earlierSyncs()
      active = await openSegment(bytes)
      overlay.tables.push(active.memtable)
    }
    return active
  }

  function isFull({ segment, memtable, openedAtMs }: Active, bytes: number): boolean {
    if (memtable.offsets.length === 0) return segment.end + bytes > segment.chunk.bytes.length
    return (
      segment.end + bytes > segment.chunk.bytes.length ||
      memtable.offsets.length >= maxSegmentRecords ||
      Date.now() - openedAtMs > maxAgeMs
    )
  }

  /** Writers wait here when the tables cannot keep up. */
  async function roomForSegment(): Promise<void> {
    const giveUpAtMs = Date.now() + maxWaitMs
    while (applier.waiting() >= maxSegments) {
      const failure = applier.failure()
      if (failure !== null) throw failure
      if (Date.now() > giveUpAtMs) throw new KvistError('busy', 'the disk cannot keep up with the writes')
      await Promise.race([applier.progress(), Bun.sleep(1000)])
    }
  }

  async function earlierSyncs(): Promise<void> {
    try {
      await syncing
    } catch (error) {
      syncing = Promise.resolve()
      throw error
    }
  }

  async function openSegment(bytes: number): Promise<Active> {
    const size = Math.max(options.segmentBytes, segmentHeaderBytes + bytes)
    const isStandard = size === options.segmentBytes
    const spare = isStandard ? await applier.reuse() : { chunk: null, path: null }
    const chunk = spare.chunk ?? newChunk(size)
    const segment = await createSegment(
      options.dir,
      lastSegment + 1,
      lastRevision + 1,
      options.storeId,
      chunk,
      spare.path,
    )
    lastSegment++
    if (isStandard) applier.makeAhead()
    return { segment, memtable: memtable(chunk), openedAtMs: Date.now() }
  }

  /** Closes the active segment for writing and hands it on; one without records is thrown away. */
  function seal(): void {
    if (active === null) return
    const { segment, memtable } = active
    active = null
    const { number, path } = segment
    if (memtable.offsets.length === 0) {
      overlay.tables.splice(overlay.tables.indexOf(memtable), 1)
      closeSync(segment.fd)
      rmSync(path, { force: true })
      return
    }
    if (unsynced) syncing = syncing.then(() => sync(segment))
    unsynced = false
    syncing = syncing.finally(() => closeSync(segment.fd))
    syncing.catch(() => {})
    applier.add({ number, path, lastRevision, memtable })
  }

  const quietTimer = setInterval(() => {
    if (draining !== null || Date.now() - lastCommitAtMs <= quietMs) return
    seal()
    applier.quiet()
  }, quietMs)
  quietTimer.unref()

  const syncTimer = setInterval(() => {
    if (!unsynced || active === null) return
    const { segment } = active
    unsynced = false
    syncing = syncing
      .then(() => sync(segment))
      .catch(() => {
        unsynced = true
      })
  }, relaxedSyncMs)
  syncTimer.unref()

  return {
    commit,
    flush,
    async close() {
      closing = true
      clearInterval(quietTimer)
      clearInterval(syncTimer)
      while (draining !== null) await draining
      seal()
      await syncing.catch(() => {})
    },
    lastRevision: () => lastRevision,
    stats,
  }
}

const nothingDone: Written = { revision: 0, createdAtMs: 0, clock: 0, existed: false }

/** As many commits from the front of the queue as make a group of a bounded size, one at least. */
function takeGroup(queue: Pending[]): Pending[] {
  let bytes = 0
  let count = 0
  while (count < queue.length && (count === 0 || bytes + queue[count]!.room <= maxGroupBytes)) {
    bytes += queue[count]!.room
    count++
  }
  return queue.splice(0, count)
}

function isWithoutRenewals(writes: Commit['writes']): writes is readonly Write[] {
  for (const { op } of writes) if (op === 'renew') return false
  return true
}

function roomOf(writes: readonly Planned[]): number {
  let room = 0
  for (const write of writes) {
    const { collection, key } = write
    const said = write.op === 'renew' ? write.member : write.op === 'put' ? write : null
    room +=
      said === null
        ? recordRoom(collection, key, '', '', '')
        : recordRoom(collection, key, said.contentType, '', said.value)
  }
  return room
}

function recordOf(
  write: Planned,
  { createdAtMs, clock }: Written,
  place: number,
  replaced: Standing | null,
): RecordFields {
  const said = write.op === 'renew' ? write.member : write.op === 'put' ? write : null
  return {
    kind: write.op === 'delete' ? write.ending : write.op,
    collection: write.collection,
    key: write.key,
    value: said?.value ?? '',
    contentType: said?.contentType ?? '',
    node: '',
    flags: said?.flags ?? 0,
    place,
    createdAtMs,
    clock,
    expiresAtMs: write.op === 'delete' ? null : write.expiresAtMs,
    replaced,
  }
}

/** The revision that stands in the way of a check, null for a member that is missing; undefined when it holds. */
function failedCheck(check: Check, standing: Standing | null, nowMs: number): number | null | undefined {
  const revision = standing === null || isExpired(standing, nowMs) ? null : standing.revision
  return revision === check.revision ? undefined : revision
}

function mayDelete(write: Delete, before: Standing | null, existed: boolean): boolean {
  const { ifRevision, ifExpiresAtMs } = write
  if (ifExpiresAtMs !== undefined && before?.expiresAtMs !== ifExpiresAtMs) return false
  return ifRevision === undefined ? existed : before?.revision === ifRevision
}

/** The same revision means the same member, but for its expiry. */
function mayRenew({ member, ifRevision }: Renewing, before: Standing): boolean {
  return member !== null && before.revision === ifRevision
}

function renewed({ revision, createdAtMs, clock }: Member): Written {
  return { revision, createdAtMs, clock, existed: true }
}

function changeOf(write: Planned, { revision, createdAtMs, clock }: Written): Committed {
  const { collection, key } = write
  if (write.op === 'renew') {
    return { type: 'renew', collection, member: { ...write.member!, expiresAtMs: write.expiresAtMs } }
  }
  if (write.op === 'delete') {
    return {
      type: write.ending,
      collection,
      tombstone: { key, revision, ending: write.ending, clock, node: '' },
    }
  }
  const { value, contentType, flags, expiresAtMs } = write
  const member = { key, value, revision, createdAtMs, clock, node: '', expiresAtMs, contentType, flags }
  return { type: 'put', collection, member }
}

/** Errors that mean there is no room; EFBIG and EDQUOT are limits on the file and the user. */
const fullCodes = new Set(['ENOSPC', 'EDQUOT', 'EFBIG'])

function asKvistError(error: unknown): KvistError {
  if (error instanceof KvistError) return error
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  if (fullCodes.has(code)) return new KvistError('storage_full', 'the disk is full', {}, error)
  return new KvistError('storage_failed', 'the log cannot be written', {}, error)
}
