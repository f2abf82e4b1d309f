import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { ArchivedVersion, MemberAt, Point, VersionPage, VersionQuery } from '../core/archive.ts'
import type { MemberRef } from '../core/engine.ts'
import { maxPageBytes } from '../core/limits.ts'
import { isExpired, type Member } from '../core/member.ts'
import { archiveStoreId, readPartHeaders } from '../engines/sqlite/archive/archive-files.ts'
import {
  type Base,
  type ReadParts,
  readTimeline,
  routeTo,
  type Timeline,
} from '../engines/sqlite/archive/timeline.ts'
import { latestVersion, versionsOf } from '../engines/sqlite/archive/versions.ts'
import { openReader } from '../engines/sqlite/table/sql-reader.ts'
import { listBackups } from './folder.ts'
import { unpackTables } from './read-backup.ts'

/** Reads members out of an archive: the parts of the log first, then the base backup before them. */

/** Reads what an archive has, with its base backups. */
export function timelineOf(dir: string, readHeaders: ReadParts = readPartHeaders): Timeline {
  // What is no archive is said before what it lacks.
  archiveStoreId(dir)
  return readTimeline(dir, listBackups(dir), readHeaders)
}

/** The tables of base backups. One at a time is unpacked to a file, which stays for the next read of the same base. */
export interface Bases {
  read(base: Base, ref: MemberRef): Promise<Member | null>
  close(): void
}

/** `dir` is a folder of its own for the unpacked tables. */
export function openBases(dir: string): Bases {
  let unpacked: { readonly base: string; readonly reader: ReturnType<typeof openReader> } | null = null
  const path = join(dir, 'base.db')

  function close(): void {
    unpacked?.reader.close()
    unpacked = null
    rmSync(dir, { recursive: true, force: true })
  }

  return {
    async read(base, { collection, key }) {
      if (unpacked?.base !== base.path) {
        close()
        mkdirSync(dir, { mode: 0o700 })
        await unpackTables(base.path, path)
        unpacked = { base: base.path, reader: openReader(path, 0) }
      }
      return unpacked.reader.read(collection, key)
    },
    close,
  }
}

/** Returns what a member was at a point in time. Throws OutOfArchive. */
export async function memberAt(
  timeline: Timeline,
  bases: Bases,
  ref: MemberRef,
  point: Point,
): Promise<MemberAt> {
  const route = routeTo(timeline, point)
  const { revision, timeMs } = route
  const version = latestVersion(route, ref)
  const member = version === null ? await bases.read(route.base, ref) : version.member
  const isAbsent = member === null || isExpired(member, timeMs)
  return { member: isAbsent ? null : member, revision, timeMs }
}

/** Returns a page of the versions of a member, newest first. The oldest may be that of the oldest base backup. */
export async function versionPage(
  timeline: Timeline,
  bases: Bases,
  ref: MemberRef,
  { before, limit, withValues }: VersionQuery,
): Promise<VersionPage> {
  const versions: ArchivedVersion[] = []
  let bytes = 0
  let oldest = Number.POSITIVE_INFINITY
  let mayBeInBase = true
  const end = before ?? Number.POSITIVE_INFINITY
  for (const { replacedRevision, ...version } of versionsOf(timeline.parts, ref, end, withValues)) {
    bytes += withValues ? version.valueBytes : 0
    const isFull = versions.length === limit || (versions.length > 0 && bytes > maxPageBytes)
    if (isFull) return { versions, next: oldest }
    versions.push(version)
    oldest = version.revision
    mayBeInBase = replacedRevision > 0
  }
  const base = timeline.bases[0]
  const found = mayBeInBase && base !== undefined ? await bases.read(base, ref) : null
  if (found === null || found.revision >= Math.min(oldest, end)) return { versions, next: null }
  if (versions.length === limit) return { versions, next: oldest }
  const valueBytes = Buffer.byteLength(found.value)
  const member = withValues ? found : { ...found, value: '' }
  versions.push({ revision: found.revision, timeMs: null, type: 'put', valueBytes, member })
  return { versions, next: null }
}
