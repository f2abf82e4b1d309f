import { commitOf, noChecks } from './command.ts'
import {
  type Conflict,
  conflictQuota,
  conflictsCollection,
  type LostVersion,
  recordOf,
  unlistedKey,
} from './conflict-records.ts'
import type { CommitResult, Delete, Engine, MemberRef, Put, Write, Written } from './engine.ts'
import { KvistError } from './errors.ts'
import type { ForeignWrite } from './foreign-write.ts'
import { isLoss, isSame, lostStored, lostWrite, mayNeedValue, type StoredVersion } from './lost-versions.ts'
import { isVersion, jsonContentType } from './member.ts'
import type { Decide } from './operations.ts'
import { effectOf, type StoredOrigin, withNodeId } from './origin.ts'

/**
 * Applies writes of another node, and records the versions that are lost where two nodes wrote a member apart:
 *
 *     read      the stored versions of all members, because what is replaced cannot be read afterwards
 *     predict   which writes conflict with them, and which renew them
 *     commit    the writes together with the records of these conflicts, each near its member
 *     correct   where a member changed between the read and the commit: the record is replaced by one of what happened,
 *               which has the origin of the lost version but not its content
 *
 * It is no conflict if both nodes deleted the member or wrote the same, or if the lost version had expired.
 */

/** Decides on conflicts, and is told of them (replication/conflicts.ts). */
export interface ConflictWatch {
  /** Whether the writers of a write and of the stored version cannot have known of each other's. */
  isConflict(write: ForeignWrite, stored: StoredOrigin): boolean
  onConflict(conflict: Conflict): void
}

export interface ConflictRecordOptions {
  readonly engine: Pick<Engine, 'nodeId' | 'read' | 'readHead' | 'tombstone'>
  readonly commit: Engine['commit']
  readonly update: (ref: MemberRef, decide: Decide) => Promise<unknown>
  readonly now: () => number
  /** How long a record is kept: as long as tombstones. */
  readonly keepMs: number
}

/** What becomes of a write where another version is stored: one of the two is lost. */
interface Meeting {
  readonly stored: StoredOrigin
  readonly isSuperseded: boolean
  /** Null if nothing is lost after all. */
  readonly conflict: Conflict | null
}

/** Meetings by the index of their writes. */
type Meetings = ReadonlyMap<number, Meeting>

/** Returns a function that applies writes of another node and records their conflicts. */
export function replicateWithRecords(options: ConflictRecordOptions) {
  return async (given: readonly ForeignWrite[], watch: ConflictWatch): Promise<readonly Written[]> => {
    const nowMs = options.now()
    const stored = await Promise.all(given.map((write) => storedVersion(options.engine, write)))
    const writes = given.map((write, i) => withRenewalMark(write, stored[i] ?? null, nowMs))
    const predicted = await predictedMeetings(options, { writes, stored, watch }, nowMs)
    const records = recordsOf(predicted.values(), options)
    const { written, recorded } = await commitWithRecords(options, writes, records, nowMs)
    const actual = actualMeetings(writes, written, predicted, watch, nowMs)
    await correct(options, { predicted, actual, recorded }, nowMs)
    for (const { conflict } of actual.values()) if (conflict !== null) watch.onConflict(conflict)
    return written
  }
}

/**
 * Marks a put as a renewal where all that is new of it is a later expiry, as when a comparison of two nodes fetched it. So it
 * is recorded, and a bridge passes it on.
 */
function withRenewalMark(write: ForeignWrite, stored: StoredVersion | null, nowMs: number): ForeignWrite {
  if (write.op !== 'put' || stored === null || write.isRenewal === true) return write
  const isRenewal = effectOf(comparedOf(write), comparedStored(stored), nowMs) === 'renew'
  return isRenewal ? { ...write, isRenewal } : write
}

interface PredictionInput {
  readonly writes: readonly ForeignWrite[]
  /** What is stored where each of them goes. */
  readonly stored: readonly (StoredVersion | null)[]
  readonly watch: ConflictWatch
}

async function predictedMeetings(
  options: ConflictRecordOptions,
  { writes, stored, watch }: PredictionInput,
  nowMs: number,
): Promise<Meetings> {
  const meetings = new Map<number, Meeting>()
  for (const [index, write] of writes.entries()) {
    const version = stored[index] ?? null
    if (version === null || version.node === write.origin.node || !watch.isConflict(write, version)) continue
    const effect = effectOf(comparedOf(write), comparedStored(version), nowMs)
    const isSuperseded = effect === 'none'
    const conflict = await conflictOf(options.engine, write, version, isSuperseded, nowMs)
    meetings.set(index, { stored: version, isSuperseded, conflict })
  }
  return meetings
}

async function storedVersion(
  engine: ConflictRecordOptions['engine'],
  { collection, key }: ForeignWrite,
): Promise<StoredVersion | null> {
  const head = await engine.readHead(collection, key)
  if (head !== null) {
    const { clock, node, revision } = withNodeId(head, engine.nodeId)
    return { type: 'put', head, clock, node, revision, isTombstone: false }
  }
  const tombstone = await engine.tombstone(collection, key)
  if (tombstone === null) return null
  const { clock, node, revision, cause } = withNodeId(tombstone, engine.nodeId)
  return { type: cause, clock, node, revision, isTombstone: true }
}

function comparedOf(write: ForeignWrite) {
  return { ...write.origin, expiresAtMs: write.op === 'put' ? write.expiresAtMs : undefined }
}

function comparedStored(stored: StoredVersion) {
  return { ...stored, expiresAtMs: stored.type === 'put' ? stored.head.expiresAtMs : undefined }
}

/** Returns the conflict of a write with the stored version; null if nothing is lost. */
async function conflictOf(
  engine: ConflictRecordOptions['engine'],
  write: ForeignWrite,
  stored: StoredVersion,
  isSuperseded: boolean,
  nowMs: number,
): Promise<Conflict | null> {
  const { collection, key, origin } = write
  const member =
    stored.type === 'put' && mayNeedValue(write, stored.head) ? await engine.read(collection, key) : null
  const value =
    stored.type === 'put' && member !== null && isVersion(member, stored.head) ? member.value : null
  if (
    write.op === 'put' &&
    stored.type === 'put' &&
    value !== null &&
    isSame(write, { ...stored.head, value })
  )
    return null
  const lost = isSuperseded ? lostWrite(write) : lostStored(stored, value)
  const kept = isSuperseded ? stored : origin
  const isRemoved = isSuperseded ? stored.isTombstone : write.op === 'delete'
  if (!isLoss(lost, isRemoved, nowMs)) return null
  const { clock, node } = kept
  return { collection, key, seenMs: nowMs, lost, kept: { clock, node } }
}

interface CommittedWithRecords {
  readonly written: readonly Written[]
  /** The outcome of each record that was stored, by its key. */
  readonly recorded: ReadonlyMap<string, Written>
}

async function commitWithRecords(
  options: ConflictRecordOptions,
  writes: readonly ForeignWrite[],
  records: readonly Put[],
  nowMs: number,
): Promise<CommittedWithRecords> {
  if (records.length === 0) return { written: await committed(options, writes, nowMs), recorded: new Map() }
  try {
    const written = await committed(options, [...writes, ...records], nowMs)
    const outcomes = records.map(({ key }, i) => [key, written[writes.length + i]!] as const)
    const recorded = new Map(outcomes.filter(([, { exceeded }]) => exceeded === undefined))
    await countUnlisted(options, records.length - recorded.size, nowMs)
    return { written: written.slice(0, writes.length), recorded }
  } catch (error) {
    // Deletes are done on a full disk too.
    if (!(error instanceof KvistError) || error.code !== 'storage_full') throw error
    return { written: await committed(options, writes, nowMs), recorded: new Map() }
  }
}

async function committed(
  { commit }: ConflictRecordOptions,
  writes: readonly Write[],
  nowMs: number,
): Promise<readonly Written[]> {
  const hasRecords = writes.some(({ collection }) => collection === conflictsCollection)
  const plain = commitOf(noChecks, writes, nowMs, undefined, hasRecords ? [conflictQuota] : undefined)
  return writtenOf(await commit(writes.length === 1 && !hasRecords ? plain : { ...plain, apart: true }))
}

function writtenOf(result: CommitResult): readonly Written[] {
  if (!result.ok) throw new Error('a commit of writes that are apart is always done')
  return result.written
}

/** Returns the conflicts that there were. Those that were not predicted have no content of a stored version. */
function actualMeetings(
  writes: readonly ForeignWrite[],
  written: readonly Written[],
  predicted: Meetings,
  watch: ConflictWatch,
  nowMs: number,
): Meetings {
  const meetings = new Map<number, Meeting>()
  for (const [index, { stored, superseded }] of written.entries()) {
    const write = writes[index]!
    if (stored === undefined || stored.node === write.origin.node) continue
    const isSuperseded = superseded === true
    const expected = predicted.get(index)
    if (expected !== undefined && isAsPredicted(expected, stored, isSuperseded)) meetings.set(index, expected)
    else if (watch.isConflict(write, stored)) {
      const conflict = unpredictedConflict(write, stored, isSuperseded, nowMs)
      meetings.set(index, { stored, isSuperseded, conflict })
    }
  }
  return meetings
}

function isAsPredicted(expected: Meeting, { clock, node }: StoredOrigin, isSuperseded: boolean): boolean {
  const { stored } = expected
  return stored.clock === clock && stored.node === node && expected.isSuperseded === isSuperseded
}

function unpredictedConflict(
  write: ForeignWrite,
  stored: StoredOrigin,
  isSuperseded: boolean,
  nowMs: number,
): Conflict | null {
  const { collection, key, origin } = write
  const { clock, node, revision } = stored
  const lostVersion: LostVersion = stored.isTombstone
    ? { type: 'delete', clock, node, revision }
    : { type: 'put', clock, node, revision, content: null }
  const lost = isSuperseded ? lostWrite(write) : lostVersion
  const kept = isSuperseded ? stored : origin
  if (!isLoss(lost, isSuperseded ? stored.isTombstone : write.op === 'delete', nowMs)) return null
  return { collection, key, seenMs: nowMs, lost, kept: { clock: kept.clock, node: kept.node } }
}

/** Deletes the records of conflicts that did not happen, and adds those of the others. */
async function correct(
  options: ConflictRecordOptions,
  {
    predicted,
    actual,
    recorded,
  }: {
    readonly predicted: Meetings
    readonly actual: Meetings
    readonly recorded: CommittedWithRecords['recorded']
  },
  nowMs: number,
): Promise<void> {
  const expected = new Set(predicted.values())
  const happened = new Set(actual.values())
  const wrong = recordsOf(
    [...expected].filter((one) => !happened.has(one)),
    options,
  )
  const missing = recordsOf(
    [...happened].filter((one) => !expected.has(one)),
    options,
  )
  const deletes = wrong.flatMap((record) => deleteOf(record, recorded.get(record.key)))
  if (deletes.length + missing.length === 0) return
  const written = await committed(options, [...deletes, ...missing], nowMs)
  await countUnlisted(options, written.filter(({ exceeded }) => exceeded !== undefined).length, nowMs)
}

function recordsOf(meetings: Iterable<Meeting>, { keepMs }: ConflictRecordOptions): Put[] {
  return Array.from(meetings).flatMap(({ conflict }) =>
    conflict === null ? [] : [recordOf(conflict, keepMs)],
  )
}

/**
 * Returns the delete of a record that this request stored. One that was there before, or is there since, is that of another
 * request: several nodes may send the same version at once, and one of them replaces the lost one.
 */
function deleteOf({ collection, key, near }: Put, stored: Written | undefined): Delete[] {
  if (stored === undefined || stored.existed) return []
  const at = near === undefined ? {} : { near }
  return [{ op: 'delete', collection, key, cause: 'delete', ifRevision: stored.revision, ...at }]
}

/** Counts conflicts for which there was no room. The count lives as long as a record. */
async function countUnlisted(
  { update, keepMs }: ConflictRecordOptions,
  count: number,
  nowMs: number,
): Promise<void> {
  if (count === 0) return
  const ref = { collection: conflictsCollection, key: unlistedKey }
  await update(ref, (current) => ({
    op: 'put',
    ...ref,
    value: String(count + (current === null ? 0 : Number(current.value))),
    contentType: jsonContentType,
    flags: 0,
    expiresAtMs: nowMs + keepMs,
  }))
}
