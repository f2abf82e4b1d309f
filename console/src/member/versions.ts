import { KvistHttpError } from 'kvist-client'
import { session } from '../api/session.svelte.ts'
import { readValue } from './read.ts'
import type { SeenVersion } from './seen-versions.ts'
import type { Version } from './version.ts'

/** The versions of a member that can be compared and restored: what this page has seen, and what the archive has. */

export interface KnownVersion {
  readonly revision: number
  /** Null for what is older than the archive. */
  readonly atMs: number | null
  readonly type: SeenVersion['type']
  readonly bytes: number | null
  readonly contentType: string | null
  /** Null where it has to be read from the archive, or is a removal. */
  readonly version: Version | null
  readonly isArchived: boolean
}

const pageSize = 50

interface ArchivedPage {
  readonly versions: readonly KnownVersion[]
  /** `before` of the next page; null at the end. */
  readonly next: number | null
}

/** Returns a page of what the archive of the server has; none where the server has no archive. */
export async function archivedVersions(
  collection: string,
  key: string,
  before: number | undefined,
): Promise<ArchivedPage> {
  try {
    const page = await session.kvist.collection(collection).history(key, { limit: pageSize, before })
    const versions = page.versions.map(({ revision, at, type, bytes, content_type }) => ({
      revision,
      atMs: at === null ? null : Date.parse(at),
      type,
      bytes: bytes ?? null,
      contentType: content_type ?? null,
      version: null,
      isArchived: true,
    }))
    return { versions, next: page.next }
  } catch (error) {
    if (error instanceof KvistHttpError && error.status === 501) return { versions: [], next: null }
    throw error
  }
}

/** Returns both kinds together, newest first, each revision once. */
export function allVersions(
  seen: readonly SeenVersion[],
  archived: readonly KnownVersion[],
): readonly KnownVersion[] {
  const inArchive = new Set(archived.map(({ revision }) => revision))
  const known = new Map<number, KnownVersion>()
  // A renewal has the revision of the version that it renews, and adds nothing to compare.
  for (const version of archived) if (version.type !== 'renew') known.set(version.revision, version)
  for (const { revision, atMs, type, version } of seen) {
    known.set(revision, {
      revision,
      atMs,
      type,
      bytes: version?.bytes ?? null,
      contentType: version?.contentType ?? null,
      version: version?.value == null ? null : version,
      isArchived: inArchive.has(revision),
    })
  }
  return [...known.values()].sort((a, b) => b.revision - a.revision)
}

/** Returns a version with its value; null where nobody has it any more. */
export async function loadVersion(
  collection: string,
  key: string,
  { revision, version, isArchived, type }: KnownVersion,
): Promise<Version | null> {
  if (version !== null || !isArchived || type === 'delete' || type === 'expire') return version
  return readValue(collection, key, revision)
}
