import { hybridClock } from '../../core/clock.ts'
import type { Commit, CommitResult, Engine, FeedCursor, OnCommit } from '../../core/engine.ts'
import { KvistError } from '../../core/errors.ts'
import { type Committed, type MemberHead, partOf, revisionOf } from '../../core/member.ts'
import { nodeIdLength, randomName } from '../../core/origin.ts'
import { groupCounter } from '../group-counter.ts'
import { hasSeen } from '../revision-cursor.ts'
import { applyCommit } from './commit.ts'
import { changesAfter, collectionStats, expiringMembers, scanMembers } from './reads.ts'
import {
  type Entry,
  forgetTombstones,
  latestChange,
  latestEntry,
  memberOf,
  membersOf,
  newState,
  type State,
} from './state.ts'

export interface MemoryOptions {
  readonly onCommit: OnCommit
  /**
   * The first revision. Pass one that is larger than every revision of an earlier store of this server, so that ETags and
   * cursors that clients keep from that store match nothing in this one.
   */
  readonly firstRevision?: number
}

/**
 * Opens the engine that keeps everything in memory and nothing on disk (docs/design/engine-memory.md). A commit is
 * applied when the call returns, before its promise resolves; it is as durable as the process.
 */
export function openMemory({ onCommit, firstRevision = 1 }: MemoryOptions): Engine {
  const state = newState(firstRevision - 1)
  const clock = hybridClock()
  const nodeId = randomName(nodeIdLength)
  const stats = groupCounter()
  let isClosed = false

  function open(): State {
    if (isClosed) throw new KvistError('closing', 'the server is stopping')
    return state
  }

  async function commit(given: Commit): Promise<CommitResult> {
    const before = open().lastRevision
    const { result, changes } = applyCommit(state, clock, nodeId, given)
    stats.count(result, changes.length)
    stats.group(changes.length > 0 ? 1 : 0)
    if (changes.length > 0) onCommit(changes, cursorsFrom(before, changes))
    return result
  }

  return {
    nodeId,
    shared: null,
    read: (collection, key) => memberOf(latestChange(open(), { collection, key })),
    readHead: (collection, key) => headOfEntry(latestEntry(open(), { collection, key })),
    readPart: (ref, version, from, to) => partOf(memberOf(latestChange(open(), ref)), version, from, to),
    readMany: (refs, maxBytes) => membersOf(refs, maxBytes, (ref) => latestChange(open(), ref)),
    visitMany: () => null,
    visitRange: () => null,
    tombstone(collection, key) {
      const change = latestChange(open(), { collection, key })
      return change === null || change.type === 'put' ? null : change.tombstone
    },
    scan: (range) => scanMembers(open(), range),
    commit,
    changes: (after, limit, scope, maxBytes) => changesAfter(open(), after, limit, scope, maxBytes),
    hasSeen,
    head: () => String(state.lastRevision),
    forget: async (beforeMs, limit) => forgetTombstones(open(), beforeMs, limit),
    forgottenClock: () => open().forgottenClock,
    expiring: (atMs, limit) => expiringMembers(open(), atMs, limit),
    collections: () => collectionStats(open()),
    stats: () => stats.numbers,
    writeFault: () => null,
    async close() {
      isClosed = true
    },
  }
}

/** Returns a member without its value, whose length comes from the entry's size: it need not be measured. */
function headOfEntry(entry: Entry | null): MemberHead | null {
  if (entry === null || entry.change.type !== 'put') return null
  const { value, ...rest } = entry.change.member
  return { ...rest, valueBytes: entry.bytes - Buffer.byteLength(rest.key) }
}

/** Returns the cursor after each change of a commit. A renewal has no revision, so the preceding change's is used. */
function cursorsFrom(before: number, changes: readonly Committed[]): (index: number) => FeedCursor {
  return (index) => {
    for (let i = index; i >= 0; i--) {
      const change = changes[i]!
      if (change.type !== 'renew') return String(revisionOf(change))
    }
    return String(before)
  }
}
