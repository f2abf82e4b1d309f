import type { ArchivedVersion } from '../../../core/archive.ts'
import type { MemberRef } from '../../../core/engine.ts'
import {
  chunkOf,
  recordCollection,
  recordEnd,
  recordKey,
  recordKeyBytes,
  recordKind,
  recordMember,
  recordPosition,
  recordReplacedRevision,
  recordRevision,
  recordValueBytes,
} from '../wal/record.ts'
import { readPartBytes } from './archive-files.ts'
import { mayHaveKey } from './key-filter.ts'
import { decodePart, filterOf, type Part, type PartInfo, timeOfRevision } from './part.ts'
import type { ArchivePath } from './timeline.ts'

/** Finds versions of one member in the parts of an archive. */

export interface RecordedVersion extends ArchivedVersion {
  readonly timeMs: number
  /** The revision of the version that it replaced; 0 for none. */
  readonly replacedRevision: number
}

/**
 * Returns the latest change of a member up to the revision of a route; null where its parts have none, so that the member
 * was as the base has it. Reads the key filters of the parts, newest first, and the whole of those that may have it.
 */
export function latestVersion({ parts, revision }: ArchivePath, ref: MemberRef): RecordedVersion | null {
  for (const version of versionsOf(parts, ref, revision + 1, true)) return version
  return null
}

/** Yields the changes of a member before a revision, newest first. */
export function* versionsOf(
  parts: readonly PartInfo[],
  ref: MemberRef,
  before: number,
  withValues: boolean,
): Generator<RecordedVersion> {
  for (const info of parts.toReversed()) {
    if (info.firstRevision >= before) continue
    const part = partWith(info, ref)
    if (part !== null) yield* versionsIn(part, ref, before, withValues)
  }
}

/** Decodes a part if it may have a member. A damaged key filter says nothing. */
function partWith(info: PartInfo, { collection, key }: MemberRef): Part | null {
  const filter = filterOf(info, readPartBytes(info, true))
  if (filter !== null && !mayHaveKey(filter, collection, key)) return null
  return decodePart(info, readPartBytes(info))
}

function versionsIn(
  part: Part,
  { collection, key }: MemberRef,
  before: number,
  withValues: boolean,
): RecordedVersion[] {
  const chunk = chunkOf(part.records)
  const keyBytes = Buffer.byteLength(key)
  const found: number[] = []
  for (let at = 0; at < part.records.length; at = recordEnd(chunk, at)) {
    if (recordPosition(chunk, at) >= before) break
    if (recordKeyBytes(chunk, at) !== keyBytes) continue
    if (recordKey(chunk, at) === key && recordCollection(chunk, at) === collection) found.push(at)
  }
  return found.toReversed().map((at) => versionOf(part, at, key, withValues))
}

function versionOf(part: Part, at: number, key: string, withValues: boolean): RecordedVersion {
  const chunk = chunkOf(part.records)
  const kind = recordKind(chunk, at)
  const revision = recordPosition(chunk, at)
  const isPut = kind === 'put'
  return {
    revision,
    timeMs: timeOfRevision(part, revision),
    type: isPut && recordRevision(chunk, at) !== revision ? 'renew' : kind,
    valueBytes: isPut ? recordValueBytes(chunk, at) : 0,
    member: isPut ? recordMember(chunk, at, key, !withValues) : null,
    replacedRevision: recordReplacedRevision(chunk, at),
  }
}
