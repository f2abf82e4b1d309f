import { statSync } from 'node:fs'
import type { MemberAt, Point, VersionPage, VersionQuery } from '../core/archive.ts'
import type { MemberRef } from '../core/engine.ts'
import { type ErrorCode, KvistError } from '../core/errors.ts'
import { type FoundParts, readPartHeaders } from '../engines/sqlite/archive/archive-files.ts'
import { ArchiveError } from '../engines/sqlite/archive/part.ts'
import { OutOfArchive } from '../engines/sqlite/archive/timeline.ts'
import { type Bases, memberAt, openBases, timelineOf, versionPage } from './archive-reads.ts'
import { RefusedBackup } from './format.ts'

/** The thread that reads an archive for clients, so that the server's thread does not decompress it. */
declare const self: Worker

export interface ReadJob {
  readonly dir: string
  /** The folder for an unpacked base backup. */
  readonly scratch: string
  readonly ref: MemberRef
  /** The server knows that the archive is complete up to this time; null where it does not. */
  readonly completeUntilMs: number | null
  readonly ask: { readonly at: Point } | { readonly versions: VersionQuery }
}

export type ReadResult =
  | { readonly ok: true; readonly found: MemberAt | VersionPage }
  | { readonly ok: false; readonly code: ErrorCode; readonly detail: string }

let bases: Bases | null = null

async function read({ dir, scratch, ref, completeUntilMs, ask }: ReadJob): Promise<ReadResult> {
  try {
    bases ??= openBases(scratch)
    const found = timelineOf(dir, rememberedHeaders)
    const timeline = { ...found, completeUntilMs: Math.max(found.completeUntilMs, completeUntilMs ?? 0) }
    const result =
      'at' in ask
        ? await memberAt(timeline, bases, ref, ask.at)
        : await versionPage(timeline, bases, ref, ask.versions)
    return { ok: true, found: result }
  } catch (error) {
    return { ok: false, ...faultOf(error) }
  }
}

function faultOf(error: unknown): { readonly code: ErrorCode; readonly detail: string } {
  const detail = error instanceof Error ? error.message : String(error)
  if (error instanceof OutOfArchive) return { code: 'unprocessable', detail }
  if (error instanceof ArchiveError || error instanceof RefusedBackup) return { code: 'damaged', detail }
  if (error instanceof KvistError) return { code: error.code, detail }
  const code = error instanceof Error && 'code' in error ? error.code : ''
  return { code: code === 'ENOSPC' ? 'storage_full' : 'storage_failed', detail }
}

/** The headers of files that have not changed since they were read. */
const known = new Map<string, { readonly stamp: string; readonly found: FoundParts }>()

function rememberedHeaders(path: string, storeId: string | null): FoundParts {
  const { size, mtimeMs, ino } = statSync(path)
  const stamp = `${size} ${mtimeMs} ${ino}`
  const before = known.get(path)
  if (before?.stamp === stamp) return before.found
  const found = readPartHeaders(path, storeId)
  known.set(path, { stamp, found })
  return found
}

self.onmessage = async (event: MessageEvent<ReadJob>) => {
  self.postMessage(await read(event.data))
}
