import { existsSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { hybridClock, stampToMs } from '../../core/clock.ts'
import type { Durability, Engine, OnCommit } from '../../core/engine.ts'
import { KvistError } from '../../core/errors.ts'
import { monotonicMs } from '../../runtime/clock.ts'
import type { PagesMode } from '../engine-names.ts'
import { hasSeen } from '../revision-cursor.ts'
import type { Archiver } from './archive/archiver.ts'
import { ArchiveError } from './archive/part.ts'
import {
  type ArchiveOptions,
  archiverOf,
  type RunningArchive,
  type StoreArchive,
  startArchive,
} from './archive/store-archive.ts'
import { type Committer, startCommitter } from './committer.ts'
import { closeToOthers, guardFolder, openDataFolder } from './data-folder.ts'
import { expiringMembers } from './expiring.ts'
import { changesAfter } from './feed.ts'
import { syncLeftTables } from './flush/checkpoint.ts'
import { Flusher, segmentsPerJob } from './flush/flusher.ts'
import { lockFolder } from './lock.ts'
import { addStoredRecord, countRecord, type Memtable, memtable } from './memtable/memtable.ts'
import {
  closeReaders,
  type Overlay,
  openOverlay,
  readMember,
  readMemberHead,
  readMemberPart,
  readMembers,
  readTombstone,
  scanMembers,
} from './overlay.ts'
import type { PinnedTables } from './pin/pin-tables.ts'
import { openReserve, releaseRoom } from './reserve.ts'
import { readFault } from './table/damage.ts'
import {
  type Counts,
  type Meta,
  noteLostRevisions,
  RefusedFile,
  readStart,
  refusal,
  sqliteCode,
} from './table/table.ts'
import { visitMembers, visitRange } from './visits.ts'
import { cutDamagedLog, cutTornTail } from './wal/accept-damage.ts'
import { listSegments, systemDisk } from './wal/log-files.ts'
import { type LoadedSegment, RefusedLog } from './wal/log-reader.ts'
import { maxSegments } from './wal/log-writer.ts'
import { recordClock, recordCollection, recordPosition } from './wal/record.ts'
import { damageMessage, damageName, type Recovery, readLog, type TornTail } from './wal/recovery.ts'

/**
 * The embedded engine: the log is the truth, the tables are an index of it (docs/design/engine-sqlite.md).
 *
 * It has a single line, so a commit may span any members. The format of cursors is in revision-cursor.ts.
 *
 * A data folder holds `kvist.db` (SQLite, with its -wal and -shm), `log-…` (segments that may not be flushed yet),
 * `spare-…` (recycled files for the log), `reserve-…` (the disk reserve), `damaged-…` (parts of the log that
 * `acceptDamagedLog` cut off), `unarchived-…` (flushed segments that wait for the archive) and `lock`.
 */
export interface SqliteOptions {
  readonly dir: string
  readonly durability: Durability
  readonly onCommit: OnCommit
  /** Size of a segment of the log in bytes. Tests use sizes below 1 MiB, which are flushed one by one. */
  readonly segmentBytes?: number
  /** The name of a damage of the log whose loss is accepted (`damageName`). */
  readonly acceptDamagedLog?: string | null
  /** Gives the store another node id, as a copy of a data folder needs it. */
  readonly newNodeId?: boolean
  /** How members are read from the tables' file; `on` by default. */
  readonly pages?: PagesMode
  /** Maps nothing of the tables' file, and gives the flusher a smaller cache and heap. */
  readonly isMemoryScarce?: boolean
  /** Where the log is archived; nowhere if left out. */
  readonly archive?: ArchiveOptions | null
  /** Receives a line for the operator for each upgrade, repair, cut or ignored damage. */
  readonly warn?: (line: string) => void
}

const defaultSegmentBytes = 16 * 1024 * 1024
/** Segments smaller than this are flushed one by one. */
const smallSegmentBytes = 1024 * 1024

export interface SqliteEngine extends Engine {
  /** Writes a consistent copy of the tables with all commits up to now, which this engine can open as `kvist.db`. */
  snapshot(path: string): Promise<void>
  /** Pins the tables with all commits up to now, for a backup. Throws `busy` while they are pinned already. */
  pin(): Promise<PinnedTables>
  /** Null without an archive. */
  readonly archive: StoreArchive | null
}

/** Opens or creates the store in a folder. Throws an Error with a message of one line when it must not be opened. */
export async function openSqlite(options: SqliteOptions): Promise<SqliteEngine> {
  openDataFolder(options.dir)
  const lock = lockFolder(options.dir)
  try {
    const engine = await openWithRoom(options, lock.release)
    closeToOthers(options.dir, options.warn ?? (() => {}))
    return engine
  } catch (error) {
    lock.release()
    throw refusalOf(error, join(options.dir, 'kvist.db'))
  }
}

/** Maps an error of opening to RefusedFile; SQLite's own errors too, which report damage that no check has found. */
function refusalOf(error: unknown, dbPath: string): unknown {
  if (error instanceof RefusedLog || error instanceof ArchiveError) return new RefusedFile(error.message)
  return sqliteCode(error).startsWith('SQLITE_') ? refusal(dbPath, error) : error
}

/** Opens the store. SQLite's own files need a little space, which on a full disk is freed from the reserve. */
async function openWithRoom(options: SqliteOptions, releaseLock: () => void): Promise<SqliteEngine> {
  try {
    return await open(options, releaseLock)
  } catch (error) {
    if (!mayLackRoom(error) || !releaseRoom(options.dir)) throw error
    return open(options, releaseLock)
  }
}

/** Whether an error may be due to a full disk: SQLite reports some of these as I/O errors. */
function mayLackRoom(error: unknown): boolean {
  return /^(SQLITE_FULL|SQLITE_IOERR.*|SQLITE_CANTOPEN.*|ENOSPC|EDQUOT)$/.test(sqliteCode(error))
}

async function open(options: SqliteOptions, releaseLock: () => void): Promise<SqliteEngine> {
  const { dir, durability, onCommit, segmentBytes = defaultSegmentBytes } = options
  const dbPath = join(dir, 'kvist.db')
  const segments = listSegments(dir)
  if (segments.length > 0 && !existsSync(dbPath)) {
    throw new RefusedFile(
      `${dbPath} is missing, but there is a log: put it back, or save what the log has with kvist repair`,
    )
  }
  syncLeftTables(dbPath)
  const { meta, counts, roots, damage, freeBytes } = readStart(dbPath, options)
  const log = recoverLog(options, dbPath, meta)
  const { pages = 'on', warn = () => {}, isMemoryScarce = false } = options
  const collections = counts.keys()
  const overlay = openOverlay({ dbPath, roots, collections, pages, isMemoryScarce, warn })
  const clock = hybridClock()
  clock.observe(meta.clock)
  const reserve = openReserve({ dir, segmentBytes, roomInTables: freeBytes, warn })
  const segmentsAwaited = segmentBytes < smallSegmentBytes ? 1 : segmentsPerJob
  const archiver = archiverOf(options, meta, log)
  const flusher = new Flusher({
    dbPath,
    overlay,
    segmentBytes,
    segmentsAwaited,
    maxSegments,
    reserve,
    isMemoryScarce,
    archive: archiver,
  })
  removeLeftovers(dir, log.segments, archiver)
  for (const segment of log.segments.filter(({ records }) => records.length > 0)) {
    const { number, path, chunk, records } = segment
    const memtable = replay(segment, counts, clock.observe)
    overlay.tables.push(memtable)
    const lastRevision = recordPosition(chunk, records[records.length - 1]!)
    flusher.add({ number, path, lastRevision, memtable, onFlushed() {} })
  }

  const committer = startCommitter({
    disk: systemDisk,
    dir,
    folder: guardFolder(dbPath),
    storeId: meta.storeId,
    nodeId: meta.nodeId,
    durability,
    segmentBytes,
    overlay,
    flusher,
    reserve,
    counts,
    clock,
    onCommit,
    lastRevision: log.lastRevision,
    lastSegment: log.highestNumber,
    archive: archiver,
  })
  const archive = archiver === null ? null : startArchive(archiver, committer, options.archive!, meta.storeId)
  let isChecking = false
  /** Checks the tables for damage, in a thread of its own: a damaged row is seldom alone. */
  const checkTables = () => {
    if (isChecking || overlay.damage !== null) return
    isChecking = true
    flusher.check().then((found) => {
      isChecking = false
      noteDamage(overlay, dbPath, found, options.warn)
    })
  }
  if (damage === undefined) checkTables()
  else noteDamage(overlay, dbPath, damage, options.warn)
  const onDamagedRead = atMostEvery(checkTables)
  return engineOf({
    nodeId: meta.nodeId,
    overlay,
    counts,
    committer,
    flusher,
    archive,
    releaseLock,
    onDamagedRead,
  })
}

const checkAgainMs = 60_000

function atMostEvery(work: () => void): () => void {
  let lastMs = Number.NEGATIVE_INFINITY
  return () => {
    if (monotonicMs() - lastMs < checkAgainMs) return
    lastMs = monotonicMs()
    work()
  }
}

function noteDamage(
  overlay: Overlay,
  dbPath: string,
  damage: string | null,
  warn: SqliteOptions['warn'] = () => {},
): void {
  if (damage === null) return
  overlay.damage = damage
  warn(
    `${dbPath} is damaged (${damage}): what is found in it is served, lists and what is not found are refused; kvist check names the damage, kvist repair saves the rest`,
  )
}

/** The part of the log that is not in the tables. */
interface Tail {
  readonly segments: readonly LoadedSegment[]
  /** The last revision that was assigned. */
  readonly lastRevision: number
  readonly highestNumber: number
}

/** Reads the log, and cuts off torn writes and accepted damage. Throws RefusedFile for damage that is not accepted. */
function recoverLog(options: SqliteOptions, dbPath: string, meta: Meta): Tail {
  const { dir, acceptDamagedLog = null, warn = () => {} } = options
  const before = readLog(dir, meta)
  if (before.damage === null && acceptDamagedLog !== null) {
    warn('--accept-damaged-log is not needed: the log is not damaged')
  }
  const log = before.damage === null ? before : acceptDamage(options, dbPath, meta, before)
  for (const line of log.harmless) warn(line)
  if (log.torn !== null) cutTorn(log, log.torn, dbPath, warn)
  const given = Math.max(log.lastRevision, meta.lostRevisions.at(-1)?.last ?? 0)
  const isCut = before.damage !== null || (log.torn?.frames ?? 0) > 0
  return { ...log, lastRevision: isCut ? Math.max(given, before.highestRevision) : given }
}

/** Cuts the log at its damage if the operator accepts that one, and reads it again; otherwise throws RefusedFile. */
function acceptDamage(options: SqliteOptions, dbPath: string, meta: Meta, log: Recovery): Recovery {
  const { dir, acceptDamagedLog, warn = () => {} } = options
  const damage = log.damage!
  const name = damageName(damage)
  if (name !== acceptDamagedLog) throw new RefusedFile(damageMessage(damage))
  noteLost(dbPath, damage.firstLost, log.highestRevision)
  cutDamagedLog(damage, log.useless)
  warn(
    `the damage ${name} is accepted: revisions from ${damage.firstLost} on are lost, and kept in damaged-…`,
  )
  const left = readLog(dir, meta)
  if (left.damage !== null) throw new RefusedFile(damageMessage(left.damage))
  return left
}

function cutTorn(log: Recovery, torn: TornTail, dbPath: string, warn: (line: string) => void): void {
  const { path, offset, bytes, frames } = torn
  warn(`${path} ends with a write that did not finish: ${bytes} bytes were cut at byte ${offset}`)
  if (frames === 0) return
  noteLost(dbPath, log.lastRevision + 1, log.highestRevision)
  cutTornTail(torn)
}

function noteLost(dbPath: string, first: number, last: number): void {
  if (first <= last) noteLostRevisions(dbPath, { first, last })
}

/** Removes segments without a record that counts, and recycled files of an earlier run. */
function removeLeftovers(dir: string, loaded: readonly LoadedSegment[], archiver: Archiver | null): void {
  const needed = new Set(loaded.filter(({ records }) => records.length > 0).map(({ path }) => path))
  for (const { path } of listSegments(dir)) {
    if (!needed.has(path) && (archiver === null || archiver.release(path))) rmSync(path, { force: true })
  }
  for (const name of readdirSync(dir)) if (name.startsWith('spare-')) rmSync(join(dir, name), { force: true })
}

function replay(
  segment: LoadedSegment,
  counts: Map<string, Counts>,
  observe: (stamp: number) => void,
): Memtable {
  const table = memtable(segment.chunk)
  for (const at of segment.records) {
    addStoredRecord(table, at)
    countRecord(counts, recordCollection(segment.chunk, at), segment.chunk, at)
    observe(recordClock(segment.chunk, at))
  }
  return table
}

interface EngineParts {
  readonly nodeId: string
  readonly overlay: Overlay
  readonly counts: ReadonlyMap<string, Counts>
  readonly committer: Committer
  readonly flusher: Flusher
  readonly archive: RunningArchive | null
  releaseLock(): void
  onDamagedRead(): void
}

function engineOf(parts: EngineParts): SqliteEngine {
  const { nodeId, overlay, counts, committer, flusher, archive, releaseLock, onDamagedRead } = parts
  let closed = false
  /** Runs a read; maps SQLite's errors to those of the contract, and checks the tables after a damaged read. */
  function reading<T>(read: () => T): T {
    if (closed) throw new KvistError('closing', 'the server is stopping')
    try {
      return read()
    } catch (error) {
      const fault = readFault(error)
      if (fault.code === 'damaged') onDamagedRead()
      throw fault
    }
  }
  return {
    nodeId,
    shared: null,
    read: (collection, key) => reading(() => readMember(overlay, collection, key)),
    readHead: (collection, key) => reading(() => readMemberHead(overlay, collection, key)),
    readPart: (ref, version, from, to) => reading(() => readMemberPart(overlay, ref, version, from, to)),
    readMany: (refs, maxBytes = Number.POSITIVE_INFINITY) =>
      reading(() => readMembers(overlay, refs, maxBytes)),
    visitMany: (refs, maxBytes, visitor) => reading(() => visitMembers(overlay, refs, maxBytes, visitor)),
    visitRange: (range, visitor) => reading(() => visitRange(overlay, range, visitor)),
    tombstone: (collection, key) => reading(() => readTombstone(overlay, collection, key)),
    scan: (range) => reading(() => scanMembers(overlay, range)),
    commit: committer.commit,
    changes: (after, limit, scope, maxBytes) =>
      reading(() => changesAfter(overlay, committer.lastRevision(), after, { limit, scope, maxBytes })),
    hasSeen,
    head: () => String(committer.lastRevision()),
    async forget(beforeMs, limit) {
      const oldest = reading(() => overlay.reader.oldestTombstone())
      return oldest === null || stampToMs(oldest) >= beforeMs ? 0 : flusher.forget(beforeMs, limit)
    },
    forgottenClock: () => reading(() => overlay.reader.forgottenClock()),
    expiring: (atMs, limit) => reading(() => expiringMembers(overlay, atMs, limit)),
    collections: () =>
      reading(() =>
        [...counts]
          .filter(([, { members }]) => members > 0)
          .map(([name, { members, bytes }]) => ({ name, members, bytes })),
      ),
    stats: () => committer.stats,
    writeFault: committer.writeFault,
    async snapshot(path) {
      await committer.flush()
      await flusher.drain()
      await flusher.snapshot(path)
    },
    async pin() {
      await committer.flush()
      await flusher.drain()
      return flusher.pin()
    },
    archive,
    async close() {
      await committer.close()
      await archive?.close()
      // Segments that cannot be flushed now, for example on a full disk, stay in the log until the next start.
      await flusher.drain().catch(() => {})
      await flusher.close()
      closed = true
      closeReaders(overlay)
      flusher.closeFiles()
      releaseLock()
    },
  }
}
