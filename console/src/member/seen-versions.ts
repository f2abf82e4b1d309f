import type { Version } from './version.ts'

/** A list of the versions that were seen of a member: bounded in number and bytes. */

export interface SeenVersion {
  readonly revision: number
  readonly atMs: number
  readonly type: 'put' | 'renew' | 'delete' | 'expire'
  /** Null for removals. */
  readonly version: Version | null
}

const maxVersions = 50
const maxBytes = 1024 * 1024
/** A larger value is not kept, so that it does not push out all others. */
const maxValueBytes = maxBytes / 4

/** Returns the versions with one more, newest first; the oldest that do not fit are left out. */
export function withVersion(all: readonly SeenVersion[], seen: SeenVersion): readonly SeenVersion[] {
  const { version } = seen
  const isHeld = version !== null && version.bytes <= maxValueBytes
  const kept: SeenVersion = { ...seen, version: version === null || isHeld ? version : withoutValue(version) }
  return bounded([kept, ...all].sort((a, b) => b.revision - a.revision))
}

function withoutValue(version: Version): Version {
  return { ...version, value: null, text: null }
}

/** The newest that fit. */
function bounded(versions: readonly SeenVersion[]): readonly SeenVersion[] {
  let bytes = 0
  const end = versions.findIndex(({ version }, index) => {
    bytes += version?.value?.length ?? 0
    return index === maxVersions || bytes > maxBytes
  })
  return end === -1 ? versions : versions.slice(0, end)
}
