import { basename } from 'node:path'
import type { Meta, RevisionRange } from '../table/table.ts'
import { segmentHeaderBytes } from './log.ts'
import { listSegments, type SegmentInfo } from './log-files.ts'
import {
  type Frames,
  type LoadedSegment,
  loadChunk,
  RefusedLog,
  readFrames,
  readHeader,
  readSegment,
} from './log-reader.ts'
import { recordPosition } from './record.ts'

/**
 * Recovery: which records of the log count when a store is opened, and what its broken frames mean.
 *
 * The tables have every revision up to the applied one, so the log must have all that follow, without a gap. Where one
 * is missing there are two cases:
 *
 * - A **torn write**: a broken frame in the last segment, behind everything that any later frame knew to be on disk. The
 *   log ends there, nothing that was acknowledged as durable is lost, and the store opens.
 * - **Damage**: anything else. Revisions that were acknowledged cannot be read, so the store is not opened, unless the
 *   operator accepts the loss by naming the damage (accept-damage.ts).
 */
export interface Recovery {
  /** In order; `records` are those that count. */
  readonly segments: readonly LoadedSegment[]
  /** The last revision that counts. */
  readonly lastRevision: number
  /** The highest revision that was given out, as far as can be seen: also of frames that do not count. */
  readonly highestRevision: number
  /** The highest number of a segment's file. */
  readonly highestNumber: number
  readonly damage: Damage | null
  readonly torn: TornTail | null
  /** Damage that costs nothing, for the tables have what it hit: a line for each. */
  readonly harmless: readonly string[]
  /** Segments with a damaged header of which nothing is needed. */
  readonly useless: readonly SegmentInfo[]
}

/** Where the log is damaged. What counts ends before it. */
export interface Damage {
  readonly path: string
  readonly number: number
  readonly offset: number
  /** What was seen, as a sentence without an end. */
  readonly what: string
  /** The first revision that is lost. */
  readonly firstLost: number
  /** Whole frames that follow, and their last revision; 0 where there is none. */
  readonly framesBehind: number
  readonly lastBehind: number
}

/** What a torn write left at the end of the log. */
export interface TornTail {
  readonly path: string
  readonly offset: number
  readonly bytes: number
  /** Whole frames among them: relaxed commits that were not on disk as a whole. */
  readonly frames: number
}

/** A segment as it was found. */
type Found = (LoadedSegment & { readonly isDamaged: false }) | DamagedSegment

/** A segment whose header cannot be read. */
interface DamagedSegment extends SegmentInfo, Frames {
  readonly isDamaged: true
}

/** What is known after some segments. */
interface Walk {
  /** The last revision that counts. */
  last: number
  /** Revisions that may be missing between two segments, for their loss was accepted earlier. */
  readonly lost: readonly RevisionRange[]
  readonly flushedRevision: number
  readonly segments: LoadedSegment[]
  readonly harmless: string[]
  readonly useless: SegmentInfo[]
  torn: TornTail | null
}

/** What the tables know of the log. */
type KnownToTables = Pick<Meta, 'storeId' | 'flushedRevision' | 'lostRevisions'>

/** Reads the log of a folder. Throws RefusedLog for a segment of another store or format. */
export function readLog(dir: string, meta: KnownToTables): Recovery {
  const { storeId, flushedRevision, lostRevisions: lost } = meta
  const infos = listSegments(dir)
  const found = infos.flatMap((info) => find(info, storeId, flushedRevision) ?? [])
  const walk: Walk = {
    last: flushedRevision,
    lost,
    flushedRevision,
    segments: [],
    harmless: [],
    useless: [],
    torn: null,
  }
  let damage: Damage | null = null
  for (let i = 0; i < found.length && damage === null; i++) damage = addSegment(walk, found, i)
  return {
    segments: walk.segments,
    lastRevision: walk.last,
    highestRevision: Math.max(walk.last, lost.at(-1)?.last ?? 0, ...found.map(lastOf)),
    highestNumber: infos.at(-1)?.number ?? 0,
    damage,
    torn: walk.torn,
    harmless: walk.harmless,
    useless: walk.useless,
  }
}

/** Null for a file that was not begun: no frame of it reached the disk. */
function find(info: SegmentInfo, storeId: string, flushedRevision: number): Found | null {
  const chunk = loadChunk(info)
  const header = readHeader(info, chunk, storeId)
  if (header.is === 'unused') return null
  if (header.is === 'damaged') return { ...info, ...readFrames(chunk), isDamaged: true }
  if (header.number === info.number) return { ...readSegment(info, chunk, header), isDamaged: false }
  if (header.firstRevision > flushedRevision) {
    throw new RefusedLog(`${info.path} holds segment ${header.number} of the log: give it back its name`)
  }
  // It was recycled, and the process ended before the first frame.
  return null
}

/** Adds what counts of a segment. Returns the damage that ends the log in it, or before it. */
function addSegment(walk: Walk, found: readonly Found[], i: number): Damage | null {
  const segment = found[i]!
  const following = found.slice(i + 1).find((one) => !one.isDamaged)
  if (segment.isDamaged) {
    if (following !== undefined && goesOn(walk, following)) {
      walk.useless.push(segment)
      walk.harmless.push(`${segment.path} is damaged at byte 0; the tables have what it held`)
      return null
    }
    return damageAt(walk, found, i, 0, 'its header cannot be read')
  }
  if (!goesOn(walk, segment)) {
    const seen = `it begins with revision ${segment.firstRevision}, and what comes before ends with ${walk.last}`
    return damageAt(walk, found, i, 0, seen)
  }
  walk.last = Math.max(walk.last, segment.firstRevision - 1)
  const limit = following?.firstRevision ?? Number.POSITIVE_INFINITY
  const { end, isBroken } = addRuns(walk, segment, limit)
  walk.segments.push({ ...segment, records: countingRecords(walk, segment, limit) })
  if (found[i + 1] === undefined) return tailOf(walk, found, segment, end)
  // All of a segment is on disk before the next one is begun.
  if (isBroken) return damageAt(walk, found, i, end, 'a frame cannot be read')
  // Where a file is missing between the two, the next one says so.
  if (following?.number === segment.number + 1 && !goesOn(walk, following)) {
    return damageAt(walk, found, i, end, 'a frame cannot be read')
  }
  return null
}

/** Whether nothing is missing before a segment, but for what is known to be lost. */
function goesOn({ last, lost }: Walk, { firstRevision }: LoadedSegment): boolean {
  if (firstRevision <= last + 1) return true
  return lost.some((range) => range.first <= last + 1 && firstRevision === range.last + 1)
}

/** Counts the frames of a segment up to the first revision that is missing: where they end, and whether others follow. */
function addRuns(
  walk: Walk,
  segment: LoadedSegment,
  limit: number,
): { readonly end: number; readonly isBroken: boolean } {
  let end = segmentHeaderBytes
  for (const run of segment.runs) {
    if (run.firstRevision >= limit) break
    if (run.firstRevision > walk.last + 1) return { end, isBroken: true }
    if (run.offset > end) {
      walk.harmless.push(`${segment.path} is damaged at byte ${end}; the tables have what it held there`)
    }
    walk.last = Math.max(walk.last, Math.min(run.lastRevision, limit - 1))
    end = run.end
  }
  return { end, isBroken: false }
}

function countingRecords({ flushedRevision, last }: Walk, segment: LoadedSegment, limit: number): number[] {
  return segment.records.filter((at) => {
    const position = recordPosition(segment.chunk, at)
    return position > flushedRevision && position <= last && position < limit
  })
}

/** The last segment ends at an offset: as it should, by a torn write, or by damage. */
function tailOf(walk: Walk, found: readonly Found[], segment: LoadedSegment, end: number): Damage | null {
  if (end < segment.syncedEnd) return damageAt(walk, found, found.length - 1, end, 'a frame cannot be read')
  const behind = segment.runs.filter(({ offset }) => offset > end)
  const cutEnd = behind.at(-1)?.end ?? end
  const bytes = cutEnd - end + segment.tornBytes
  const frames = behind.reduce((sum, run) => sum + run.frames, 0)
  if (bytes > 0) walk.torn = { path: segment.path, offset: end, bytes, frames }
  return null
}

function damageAt(walk: Walk, found: readonly Found[], i: number, offset: number, what: string): Damage {
  const { path, number } = found[i]!
  const behind = found
    .slice(i)
    .flatMap(({ runs }, j) => (j === 0 ? runs.filter((run) => run.offset >= offset) : runs))
    .filter(({ lastRevision }) => lastRevision > walk.last)
  return {
    path,
    number,
    offset,
    what,
    firstLost: walk.last + 1,
    framesBehind: behind.reduce((sum, run) => sum + run.frames, 0),
    lastBehind: Math.max(0, ...behind.map(({ lastRevision }) => lastRevision)),
  }
}

function lastOf({ runs }: Found): number {
  return Math.max(0, ...runs.map(({ lastRevision }) => lastRevision))
}

/** What an operator gives to `--accept-damaged-log`. */
export function damageName({ path, offset }: Damage): string {
  return `${basename(path)}:${offset}`
}

/** The line that says why a store is not opened, and what to do. */
export function damageMessage(damage: Damage): string {
  const { path, offset, what, firstLost, framesBehind, lastBehind } = damage
  const frames = framesBehind === 1 ? '1 whole frame follows' : `${framesBehind} whole frames follow`
  const [follow, lost] =
    framesBehind === 0
      ? ['no whole frame follows', `everything from revision ${firstLost} on`]
      : [`${frames}, up to revision ${lastBehind}`, `revisions ${firstLost} to ${lastBehind}`]
  return `${path} is damaged at byte ${offset}: ${what}; ${follow}. Put the file back from a copy, or go on without ${lost} by --accept-damaged-log ${damageName(damage)}`
}
