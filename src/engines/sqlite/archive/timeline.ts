import type { Point } from '../../../core/archive.ts'
import { formatTime } from '../../../core/time.ts'
import { archiveStoreId, listPartFiles, readHead, readPartBytes, readPartHeaders } from './archive-files.ts'
import { ArchiveError, batchAround, decodePart, type PartInfo, revisionAt, timeOfRevision } from './part.ts'

/** What an archive has: its parts in order, its base backups, and how far it is complete. */
export interface Timeline {
  readonly dir: string
  readonly storeId: string
  readonly parts: readonly PartInfo[]
  readonly bases: readonly Base[]
  /** Places at which a part cannot be read, or an unfinished one is. */
  readonly broken: readonly { readonly path: string; readonly offset: number }[]
  /** Nothing was committed between the last part and this time; 0 where that is not known. */
  readonly completeUntilMs: number
}

/** A base backup: the whole store at a revision. */
export interface Base {
  readonly path: string
  readonly revision: number
  readonly takenAtMs: number
}

/** How to come to the state at a revision: from a base, through the parts after it. */
export interface ArchivePath {
  readonly base: Base
  /** The parts with revisions after that of the base, up to the one that holds `revision`; none if that is the base's. */
  readonly parts: readonly PartInfo[]
  readonly revision: number
  /** The time of the point; for one given as a revision, the time at which that was committed. */
  readonly timeMs: number
}

/** Thrown for a point that the archive cannot tell of; the message says why, and what there is. */
export class OutOfArchive extends Error {}

export type ReadParts = typeof readPartHeaders

/** Reads what an archive has. `bases` are its base backups; `readHeaders` may remember files. Throws ArchiveError. */
export function readTimeline(
  dir: string,
  bases: readonly Base[],
  readHeaders: ReadParts = readPartHeaders,
): Timeline {
  const storeId = archiveStoreId(dir)
  const parts: PartInfo[] = []
  const broken: { path: string; offset: number }[] = []
  for (const { path } of listPartFiles(dir)) {
    const found = readHeaders(path, storeId)
    parts.push(...found.parts)
    broken.push(...found.broken.map((offset) => ({ path, offset })))
  }
  const ordered = [...bases].sort((a, b) => a.revision - b.revision)
  return { dir, storeId, parts, bases: ordered, broken, completeUntilMs: completeUntil(dir, parts, ordered) }
}

function completeUntil(dir: string, parts: readonly PartInfo[], bases: readonly Base[]): number {
  const last = parts.at(-1)
  const lastRevision = last?.lastRevision ?? 0
  const head = readHead(dir)
  return Math.max(
    last?.lastTimeMs ?? 0,
    head !== null && head.revision === lastRevision ? head.timeMs : 0,
    ...bases.filter(({ revision }) => revision >= lastRevision).map(({ takenAtMs }) => takenAtMs),
  )
}

/**
 * Finds the way to a point, or with null to the newest. Throws OutOfArchive where there is none, and ArchiveError where a
 * part is damaged.
 */
export function routeTo(timeline: Timeline, point: Point | null): ArchivePath {
  if (timeline.bases.length === 0) throw new OutOfArchive(`${timeline.dir} has no base backup`)
  if (point === null) return routeToRevision(timeline, newestRevision(timeline))
  return 'revision' in point ? routeToRevision(timeline, point.revision) : routeToTime(timeline, point.timeMs)
}

function routeToRevision(timeline: Timeline, revision: number): ArchivePath {
  if (revision > newestRevision(timeline)) {
    throw new OutOfArchive(`revision ${revision} is after the newest in the archive: ${extent(timeline)}`)
  }
  const { base, between } = legs(timeline, revision)
  const last = between.at(-1)
  if (last === undefined) return { base, parts: [], revision, timeMs: base.takenAtMs }
  const part = decodePart(last, readPartBytes(last))
  const batch = batchAround(part, revision)
  if (batch !== null) {
    throw new OutOfArchive(
      `revision ${revision} is within a batch, revisions ${batch[0]} to ${batch[1]}, which was done as a whole: name ${batch[0] - 1} or ${batch[1]}`,
    )
  }
  return { base, parts: between, revision, timeMs: timeOfRevision(part, revision) }
}

function routeToTime(timeline: Timeline, timeMs: number): ArchivePath {
  const { parts, bases, completeUntilMs } = timeline
  if (timeMs > completeUntilMs) {
    throw new OutOfArchive(
      `${formatTime(timeMs)} is after the newest change in the archive: ${extent(timeline)}`,
    )
  }
  const baseRevision = bases.findLast(({ takenAtMs }) => takenAtMs <= timeMs)?.revision ?? -1
  const index = parts.findLastIndex(({ firstTimeMs }) => firstTimeMs <= timeMs)
  const part = parts[index]
  if (part === undefined || part.lastRevision <= baseRevision) {
    if (baseRevision < 0) throw tooEarly(timeline, formatTime(timeMs))
    return { ...routeToRevision(timeline, baseRevision), timeMs }
  }
  const decoded = decodePart(part, readPartBytes(part))
  const revision = Math.max(baseRevision, revisionAt(decoded, timeMs) ?? part.firstRevision - 1)
  const next = parts[index + 1]
  if (revision === part.lastRevision && next !== undefined && isGapBetween(part.lastRevision, next)) {
    // What was committed after this part, up to the next one, is missing.
    if (timeMs > part.lastTimeMs) throw gap(timeline, part.lastRevision, next)
  }
  const { base, between } = legs(timeline, revision, formatTime(timeMs))
  return { base, parts: between, revision, timeMs }
}

/** The newest base up to a revision, and the parts from there to it. */
function legs(
  timeline: Timeline,
  revision: number,
  what = `revision ${revision}`,
): { readonly base: Base; readonly between: PartInfo[] } {
  const { bases, parts } = timeline
  const base = bases.findLast((one) => one.revision <= revision)
  if (base === undefined) throw tooEarly(timeline, what)
  const between: PartInfo[] = []
  let last = base.revision
  for (const part of parts) {
    if (part.lastRevision <= base.revision) continue
    if (last >= revision) break
    if (isGapBetween(last, part) || (part.isBreak && base.revision < part.firstRevision)) {
      throw gap(timeline, last, part)
    }
    between.push(part)
    last = part.lastRevision
  }
  if (last < revision) throw gap(timeline, last, null)
  return { base, between }
}

function isGapBetween(lastRevision: number, next: PartInfo): boolean {
  return next.firstRevision > lastRevision + 1
}

function tooEarly(timeline: Timeline, what: string): OutOfArchive {
  return new OutOfArchive(`${what} is before the oldest base backup of the archive: ${extent(timeline)}`)
}

/** The error for revisions that are missing after one; with the place of a damage where there is one. */
function gap(timeline: Timeline, last: number, next: PartInfo | null): OutOfArchive | ArchiveError {
  const missing = next === null ? `revisions from ${last + 1} on` : missingBefore(last, next)
  const damage = timeline.broken.find(({ path, offset }) => isAt(timeline, path, offset, last, next))
  if (damage !== undefined) {
    return new ArchiveError(
      `${damage.path} is damaged at byte ${damage.offset}: the archive lacks ${missing}`,
    )
  }
  return new OutOfArchive(`the archive has a gap: it lacks ${missing}`)
}

function missingBefore(last: number, { firstRevision, isBreak }: PartInfo): string {
  if (isBreak && firstRevision === last + 1) return `what the store lost before revision ${firstRevision}`
  return last + 1 === firstRevision - 1
    ? `revision ${last + 1}`
    : `revisions ${last + 1} to ${firstRevision - 1}`
}

/** Whether a broken place lies behind the part that ends with `last`, and before `next`. */
function isAt(
  { parts }: Timeline,
  path: string,
  offset: number,
  last: number,
  next: PartInfo | null,
): boolean {
  const before = parts.find(({ lastRevision }) => lastRevision === last)
  const follows =
    before === undefined || path > before.path || (path === before.path && offset > before.offset)
  const precedes = next === null || path < next.path || (path === next.path && offset < next.offset)
  return follows && precedes
}

/** What an archive has, in words. */
function extent({ bases, parts, completeUntilMs }: Timeline): string {
  const oldest = bases[0]
  const from =
    oldest === undefined ? 'no base backup' : `revision ${oldest.revision}, ${formatTime(oldest.takenAtMs)}`
  return `it has ${from}, to revision ${newestRevision({ parts, bases })}, ${formatTime(completeUntilMs)}`
}

function newestRevision({ parts, bases }: Pick<Timeline, 'parts' | 'bases'>): number {
  return Math.max(parts.at(-1)?.lastRevision ?? 0, bases.at(-1)?.revision ?? 0)
}
