import { basename } from 'node:path'
import {
  archiveStoreId,
  listPartFiles,
  readPartBytes,
  readPartHeaders,
} from '../engines/sqlite/archive/archive-files.ts'
import { ArchiveError, decodePart, filterOf } from '../engines/sqlite/archive/part.ts'
import { listBackups } from './folder.ts'
import { RefusedBackup } from './format.ts'
import { verifyBackup } from './read-backup.ts'

/** What an archive is found to be: nothing of it is changed. */
export interface ArchiveReport {
  readonly parts: number
  readonly bases: number
  /** The last revision of its parts; 0 for none. */
  readonly revision: number
  readonly findings: readonly { readonly where: string; readonly what: string }[]
  /** Revisions between two parts that the archive does not have: points in time between them cannot be restored. */
  readonly notes: readonly string[]
}

/**
 * Reads and verifies all parts of the log and all base backups of an archive. `onRead` gets the share that is done. Throws
 * ArchiveError for a folder that is not an archive.
 */
export async function checkArchive(
  dir: string,
  onRead: (share: number) => void = () => {},
): Promise<ArchiveReport> {
  const storeId = archiveStoreId(dir)
  const [files, bases] = [listPartFiles(dir), listBackups(dir)]
  const findings: { where: string; what: string }[] = []
  const notes: string[] = []
  let [done, parts, revision] = [0, 0, 0]
  const step = () => onRead(++done / (files.length + bases.length))
  for (const { path } of files) {
    const where = basename(path)
    for (const info of partsOf(path, storeId, findings)) {
      if (parts++ > 0 && info.firstRevision > revision + 1)
        notes.push(`${where}: revisions ${revision + 1} to ${info.firstRevision - 1} are not in the archive`)
      revision = Math.max(revision, info.lastRevision)
      try {
        const bytes = readPartBytes(info)
        if (filterOf(info, bytes) === null)
          findings.push({ where, what: `the filter of keys at byte ${info.offset} is damaged` })
        decodePart(info, bytes)
      } catch (error) {
        findings.push({ where, what: messageOf(error) })
      }
      // A part has some megabytes; other work may run between two.
      await new Promise((resolve) => setImmediate(resolve))
    }
    step()
  }
  for (const { path } of bases) {
    try {
      await verifyBackup(path)
    } catch (error) {
      if (!(error instanceof RefusedBackup)) throw error
      findings.push({ where: basename(path), what: error.message })
    }
    step()
  }
  return { parts, bases: bases.length, revision, findings, notes }
}

function partsOf(path: string, storeId: string, findings: { where: string; what: string }[]) {
  const where = basename(path)
  try {
    const { parts, broken } = readPartHeaders(path, storeId)
    for (const offset of broken) findings.push({ where, what: `no part can be read at byte ${offset}` })
    return parts
  } catch (error) {
    if (!(error instanceof ArchiveError)) throw error
    findings.push({ where, what: error.message })
    return []
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
