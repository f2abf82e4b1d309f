import { basename } from 'node:path'
import type { Meta } from '../table/table.ts'
import { listSegments, type SegmentInfo } from '../wal/log-files.ts'
import { loadChunk, RefusedLog, readHeader, readSegment } from '../wal/log-reader.ts'
import { type Damage, damageName, readLog } from '../wal/recovery.ts'
import type { Findings } from './findings.ts'

/** What of the log the tables do not have. */
export interface LogReport {
  readonly segments: number
  /** Records that the next start adds to the tables. */
  readonly records: number
  /** The last revision that counts. */
  readonly lastRevision: number
  readonly bytes: number
}

/**
 * Checks the log as a start does (wal/recovery.ts): checksums, order and gaps. What a start ignores, because the tables have it
 * or because a write did not finish, is a note. Reads segments that the tables lack into memory, as a start does.
 */
export function checkLog(
  dir: string,
  meta: Meta,
  findings: Findings,
  note: (line: string) => void,
): LogReport {
  const infos = listSegments(dir)
  const bytes = infos.reduce((sum, { path }) => sum + Bun.file(path).size, 0)
  try {
    const { segments, lastRevision, damage, torn, harmless } = readLog(dir, meta)
    for (const line of harmless) note(line)
    if (torn !== null)
      note(`${torn.path} ends with a write that did not finish: ${torn.bytes} bytes at byte ${torn.offset}`)
    if (damage !== null) {
      findings.add({ where: basename(damage.path), what: whatOf(damage), revision: damage.firstLost })
      for (const info of infos.filter(({ number }) => number >= damage.number))
        reportBreaks(info, meta.storeId, info.number === damage.number ? damage.offset : -1, findings)
    }
    const records = segments.reduce((sum, one) => sum + one.records.length, 0)
    return { segments: infos.length, records, lastRevision, bytes }
  } catch (error) {
    if (!(error instanceof RefusedLog)) throw error
    findings.add({ where: 'log', what: error.message })
    return { segments: infos.length, records: 0, lastRevision: meta.flushedRevision, bytes }
  }
}

function whatOf(damage: Damage): string {
  const { offset, what, framesBehind, lastBehind } = damage
  const behind =
    framesBehind === 0 ? 'nothing whole follows' : `whole frames follow up to revision ${lastBehind}`
  return `it is damaged at byte ${offset} (${damageName(damage)}): ${what}; ${behind}`
}

/** Reports what is broken behind the first damage, which ends what a start reads. */
function reportBreaks(info: SegmentInfo, storeId: string, reportedAt: number, findings: Findings): void {
  const chunk = loadChunk(info)
  const where = basename(info.path)
  const header = readHeader(info, chunk, storeId)
  if (header.is !== 'whole') {
    if (header.is === 'damaged' && reportedAt !== 0)
      findings.add({ where, what: 'its header cannot be read' })
    return
  }
  const { runs } = readSegment(info, chunk, header)
  for (const [i, run] of runs.entries()) {
    const end = runs[i - 1]?.end
    if (end === undefined || run.offset === end || end === reportedAt) continue
    findings.add({
      where,
      what: `it is damaged from byte ${end} to ${run.offset}`,
      revision: run.firstRevision,
    })
  }
}
