import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import type { RevisionRange } from '../table/table.ts'
import { headerAt, magic, segmentHeaderBytes } from '../wal/log.ts'
import { listSegments, type SegmentInfo } from '../wal/log-files.ts'
import { loadChunk, RefusedLog, readFrames, readHeader, readSegment } from '../wal/log-reader.ts'
import { type Chunk, recordPosition } from '../wal/record.ts'

/** Reads what can be read of a damaged log, one segment after the other. */

/** Uses a record of the log; `at` is its offset in the chunk, which is valid until this returns. */
type UseRecord = (chunk: Chunk, at: number) => void

export interface SalvagedLog {
  /** Revisions that were in the log, and cannot be read. */
  readonly lost: RevisionRange[]
  readonly faults: { readonly file: string; readonly what: string }[]
  /** The highest revision that the log has a trace of. */
  readonly highest: number
}

/**
 * Calls `use` for each record behind `flushed`, in the order of revisions, also for those behind damage: a record has all of
 * its member. Revisions between `flushed` and the last one that were not found are lost, unless they are among `known`.
 */
export function salvageLog(
  dir: string,
  storeId: string | null,
  flushed: number,
  known: readonly RevisionRange[],
  use: UseRecord,
): SalvagedLog {
  const found: SalvagedLog & { highest: number } = { lost: [], faults: [], highest: flushed }
  const infos = listSegments(dir)
  const firsts = infos.map((info) => firstRevisionOf(info))
  let last = flushed
  for (const [i, info] of infos.entries()) {
    const segment = readRuns(info, storeId, found)
    if (segment === null) continue
    // What a failed write left at the end of a segment is also in the next one.
    const limit = firsts.slice(i + 1).find((first) => first !== null) ?? Number.POSITIVE_INFINITY
    const isLast = i === infos.length - 1
    let end: number = segmentHeaderBytes
    for (const run of segment.runs) {
      // Behind every synced end of the last segment a broken frame is a write that did not finish: the log ends there.
      if (isLast && run.offset > end && end >= segment.syncedEnd) break
      end = run.end
      found.highest = Math.max(found.highest, Math.min(run.lastRevision, limit - 1))
    }
    for (const at of segment.records) {
      const position = recordPosition(segment.chunk, at)
      if (at >= end || position <= last || position >= limit) continue
      if (position > last + 1) noteLost(found, known, last + 1, position - 1)
      use(segment.chunk, at)
      last = position
    }
  }
  return found
}

function noteLost({ lost }: SalvagedLog, known: readonly RevisionRange[], first: number, last: number): void {
  if (!known.some((range) => range.first <= first && last <= range.last)) lost.push({ first, last })
}

/** Calls `use` for each whole record of every file that was a segment, in no order: flushed ones may have it too. */
export function everyRecord(dir: string, storeId: string | null, use: UseRecord): void {
  const unused = { lost: [], faults: [], highest: 0 }
  for (const name of readdirSync(dir)) {
    if (!/^(log|spare|reserve-log|damaged|unarchived)/.test(name)) continue
    const segment = readRuns({ path: join(dir, name), number: 0 }, storeId, unused)
    for (const at of segment?.records ?? []) use(segment!.chunk, at)
  }
}

function readRuns(info: SegmentInfo, storeId: string | null, { faults }: SalvagedLog) {
  const chunk = loadChunk(info)
  const own = storeId ?? storeIdOf(chunk)
  try {
    const header = readHeader(info, chunk, own)
    if (header.is === 'unused') return null
    if (header.is === 'whole') return readSegment(info, chunk, header)
    faults.push({ file: info.path, what: 'its header cannot be read' })
    return { chunk, ...readFrames(chunk) }
  } catch (error) {
    if (!(error instanceof RefusedLog)) throw error
    faults.push({ file: info.path, what: error.message })
    return null
  }
}

/** The first revision of a segment; null where its header cannot be read. */
function firstRevisionOf(info: SegmentInfo): number | null {
  const chunk = loadChunk(info)
  try {
    const header = readHeader(info, chunk, storeIdOf(chunk))
    return header.is === 'whole' && header.number === info.number ? header.firstRevision : null
  } catch {
    return null
  }
}

function storeIdOf({ bytes }: Chunk): string {
  return bytes.toString('latin1', headerAt.storeId, headerAt.storeId + 16)
}

/** The store that the segments of a folder belong to; null without any. */
export function storeOfLog(dir: string): string | null {
  for (const info of listSegments(dir)) {
    const chunk = loadChunk(info)
    if (chunk.bytes.toString('latin1', 0, magic.length) === magic) return storeIdOf(chunk)
  }
  return null
}
