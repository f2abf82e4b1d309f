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
 * Recovery decides which records of the log count when a store is opened, and classifies broken frames.
 *
 * The tables have every revision up to the flushed one, so the log must have all later ones, without a gap. Where one is
 * missing there are two cases:
 *
 * - A **torn write**: a broken frame in the last segment, behind the synced end that any later frame states. The log ends
 *   there, nothing that was acknowledged as durable is lost, and the store opens.
 * - **Damage**: anything else. Acknowledged revisions cannot be read, so the store is not opened unless the operator
 *   accepts the loss by naming the damage (accept-damage.ts).
 */
export interface Recovery {
  /** The readable segments in order, each with only those `records` that count and are not in the tables. */
  readonly segments: readonly LoadedSegment[]
  /** The last revision that counts. */
  readonly lastRevision: number
  /** The highest revision seen, including lost ones and those of frames that do not count. */
  readonly highestRevision: number
  /** The highest number of a segment's file. */
  readonly highestNumber: number
  readonly damage: Damage | null
  readonly torn: TornTail | null
  /** One line for each damage that loses nothing, because the tables have the damaged revisions. */
  readonly harmless: readonly string[]
  /** Segments with a damaged header whose records are not needed. */
  readonly useless: readonly SegmentInfo[]
}

/** The first damage of the log; only records before it count. */
export interface Damage {
  readonly path: string
  readonly number: number
  readonly offset: number
  /** A clause that describes the damage, without a full stop. */
  readonly what: string
  /** The first lost revision. */
  readonly firstLost: number
  /** The number of whole frames behind the damage, and their last revision; both 0 for none. */
  readonly framesBehind: number
  readonly lastBehind: number
}

/** The bytes that a torn write left at the end of the log. */
export interface TornTail {
  readonly path: string
  readonly offset: number
  readonly bytes: number
  /** Whole frames among them: relaxed commits that followed the broken frame and were not synced. */
  readonly frames: number
}

/** A segment as read from its file. */
type Found = (LoadedSegment & { readonly isDamaged: false }) | DamagedSegment

/** A segment whose header cannot be read. */
interface DamagedSegment extends SegmentInfo, Frames {
  readonly isDamaged: true
}

/** The state after the segments processed so far. */
interface Walk {
  /** The last revision that counts. */
  last: number
  /** Revisions that may be missing between two segments, because their loss was accepted earlier. */
  readonly lost: readonly RevisionRange[]
  readonly flushedRevision: number
  readonly segments: LoadedSegment[]
  readonly harmless: string[]
  readonly useless: SegmentInfo[]
  torn: TornTail | null
}

/** The fields of `meta` that recovery compares with the log. */
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

/** Reads a segment; null for a file that holds no frame of its segment. Throws RefusedLog as `readHeader`. */
function find(info: SegmentInfo, storeId: string, flushedRevision: number): Found | null {
  const chunk = loadChunk(info)
  const header = readHeader(info, chunk, storeId)
  if (header.is === 'unused') return null
  if (header.is === 'damaged') return { ...info, ...readFrames(chunk), isDamaged: true }
  if (header.number === info.number) return { ...readSegment(info, chunk, header), isDamaged: false }
  if (header.firstRevision > flushedRevision) {
    throw new RefusedLog(`${info.path} holds segment ${header.number} of the log: give it back its name`)
  }
  // The file was renamed for this segment, and the process died before the first frame was synced.
  return null
}

/** Adds the records of a segment that count. Returns the damage that ends the log in it or before it, or null. */
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
  // A segment is synced as a whole before the next one is begun, so a broken frame here is no torn write.
  if (isBroken) return damageAt(walk, found, i, end, 'a frame cannot be read')
  // If a file between the two is missing, the damage is reported for the following segment.
  if (following?.number === segment.number + 1 && !goesOn(walk, following)) {
    return damageAt(walk, found, i, end, 'a frame cannot be read')
  }
  return null
}

/** Whether a segment continues the log without a gap, apart from revisions whose loss was accepted. */
function goesOn({ last, lost }: Walk, { firstRevision }: LoadedSegment): boolean {
  if (firstRevision <= last + 1) return true
  return lost.some((range) => range.first <= last + 1 && firstRevision === range.last + 1)
}

/** Adds the runs of a segment up to the first missing revision. Returns their end, and whether a run follows it. */
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

/** Classifies the end of the last segment: intact, a torn write (noted in `walk`), or damage (returned). */
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

/** The name of a damage, which an operator passes to `--accept-damaged-log`. */
export function damageName({ path, offset }: Damage): string {
  return `${basename(path)}:${offset}`
}

/** One line that says why a store is not opened, and what the operator can do. */
export function damageMessage(damage: Damage): string {
  const { path, offset, what, firstLost, framesBehind, lastBehind } = damage
  const frames = framesBehind === 1 ? '1 whole frame follows' : `${framesBehind} whole frames follow`
  const [follow, lost] =
    framesBehind === 0
      ? ['no whole frame follows', `everything from revision ${firstLost} on`]
      : [`${frames}, up to revision ${lastBehind}`, `revisions ${firstLost} to ${lastBehind}`]
  return `${path} is damaged at byte ${offset}: ${what}; ${follow}. Put the file back from a copy, save what can be read with kvist repair, or go on without ${lost} by --accept-damaged-log ${damageName(damage)}`
}
