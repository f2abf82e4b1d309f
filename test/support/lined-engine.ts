import { hybridClock } from '../../src/core/clock.ts'
import type {
  ChangesPage,
  ChangesScope,
  Commit,
  CommitResult,
  Engine,
  FeedCursor,
  MemberRef,
  OnCommit,
  OnSetback,
  Renew,
  ScanPage,
  ScanRange,
  Write,
  Written,
} from '../../src/core/engine.ts'
import { KvistError } from '../../src/core/errors.ts'
import { compareKeys, keyAfter } from '../../src/core/keys.ts'
import { maxPageBytes } from '../../src/core/limits.ts'
import {
  type Change,
  type Committed,
  headOf,
  type Member,
  partOf,
  revisionOf,
} from '../../src/core/member.ts'
import type { CollectionSize } from '../../src/core/quota.ts'
import { groupCounter } from '../../src/engines/group-counter.ts'
import { applyCommit } from '../../src/engines/memory/commit.ts'
import {
  changesAfter,
  collectionStats,
  expiringMembers,
  scanMembers,
} from '../../src/engines/memory/reads.ts'
import {
  forgetTombstones,
  latestChange,
  memberOf,
  membersOf,
  newState,
  type State,
  sizeOfCollection,
  storeChange,
} from '../../src/engines/memory/state.ts'
import { parseCursor } from '../../src/engines/revision-cursor.ts'

/**
 * An engine of several lines, each with a memory of its own, as a cluster has them: a commit spans one of them, cursors
 * say how far a reader has come on each, and a line can lose its newest changes. What the core does must hold here too.
 */
export interface LinedEngine extends Engine {
  /** Loses the newest changes of each line, as a failover to an outdated replica does, and reports a setback. */
  lose(changes: number): void
}

export interface LinedOptions {
  readonly lines: number
  /** `collection`: all members of a collection are on one line; `line`: each is where its key says. */
  readonly spans: 'collection' | 'line'
  readonly onCommit: OnCommit
  readonly onSetback?: OnSetback
}

interface Line {
  state: State
  /** Everything that was ever committed, as far as it is not lost. */
  readonly history: Change[]
  /** Revisions that are lost lie between these. */
  readonly gaps: { after: number; before: number }[]
}

export function linedEngine({
  lines: count,
  spans,
  onCommit,
  onSetback = () => {},
}: LinedOptions): LinedEngine {
  const lines = Array.from({ length: count }, (): Line => ({ state: newState(0), history: [], gaps: [] }))
  const clock = hybridClock()
  const stats = groupCounter()
  const nodeId = 'lined'
  let isClosed = false

  function open(): readonly Line[] {
    if (isClosed) throw new KvistError('closing', 'the server is stopping')
    return lines
  }

  function lineOf({ collection, key }: MemberRef): number {
    return Bun.hash.crc32(spans === 'collection' ? collection : `${collection}\0${key}`) % count
  }

  function positionOf(write: Write | Renew): number {
    return lineOf('near' in write && write.near !== undefined ? write.near : write)
  }

  function commitTo(index: number, commit: Commit): CommitResult {
    const { state } = lines[index]!
    const before = state.lastRevision
    // Larger than all that was reported before, on whatever line.
    state.lastRevision = Math.max(...lines.map((line) => line.state.lastRevision))
    const { result, changes } = applyCommit(state, clock, nodeId, commit, sizeOf)
    if (changes.every(({ type }) => type === 'renew')) state.lastRevision = before
    stats.count(result, changes.length)
    stats.group(changes.length > 0 ? 1 : 0)
    if (changes.length > 0) report(index, changes)
    return result
  }

  /** Over all lines, so that a quota is exact here also for a collection that is on several. */
  function sizeOf(collection: string): CollectionSize {
    const sizes = lines.map(({ state }) => sizeOfCollection(state, collection))
    return {
      members: sizes.reduce((sum, { members }) => sum + members, 0),
      bytes: sizes.reduce((sum, { bytes }) => sum + bytes, 0),
    }
  }

  function report(index: number, changes: readonly Committed[]): void {
    const line = lines[index]!
    const heads = positions()
    line.history.push(...changes.filter((change) => change.type !== 'renew'))
    onCommit(changes, (i) => {
      const last = changes.slice(0, i + 1).findLast((change) => change.type !== 'renew')
      return join(
        heads.map((head, at) => (at === index && last !== undefined ? `${revisionOf(last)}` : head)),
      )
    })
  }

  function positions(): string[] {
    return lines.map(({ state }) => String(state.lastRevision))
  }

  async function commit(given: Commit): Promise<CommitResult> {
    open()
    const groups = new Map<number, number[]>()
    for (const [i, write] of given.writes.entries()) addTo(groups, positionOf(write), i)
    for (const check of given.checks) addTo(groups, lineOf(check.near ?? check))
    if (groups.size <= 1) return commitTo([...groups.keys()][0] ?? 0, given)
    if (given.apart !== true)
      throw new KvistError('unprocessable', 'the members are on several lines', together(given))
    const written: Written[] = []
    for (const [line, indexes] of groups) {
      const result = commitTo(line, { ...given, writes: indexes.map((i) => given.writes[i]!) })
      if (!result.ok) throw new Error('a commit apart has no checks')
      for (const [n, i] of indexes.entries()) written[i] = result.written[n]!
    }
    return { ok: true, written }
  }

  function together({ checks, writes }: Commit) {
    const groups = new Map<number, MemberRef[]>()
    const add = (line: number, { collection, key }: MemberRef) => {
      const refs = groups.get(line) ?? []
      if (!refs.some((ref) => ref.collection === collection && ref.key === key))
        refs.push({ collection, key })
      groups.set(line, refs)
    }
    for (const check of checks) add(lineOf(check.near ?? check), check)
    for (const write of writes) add(positionOf(write), write)
    return { together: [...groups.values()] }
  }

  return {
    nodeId,
    shared: null,
    read: (collection, key) =>
      memberOf(latestChange(open()[lineOf({ collection, key })]!.state, { collection, key })),
    readHead: (collection, key) =>
      headOf(memberOf(latestChange(open()[lineOf({ collection, key })]!.state, { collection, key }))),
    readPart: (ref, version, from, to) =>
      partOf(memberOf(latestChange(open()[lineOf(ref)]!.state, ref)), version, from, to),
    readMany: (refs, maxBytes) =>
      membersOf(refs, maxBytes, (ref) => latestChange(open()[lineOf(ref)]!.state, ref)),
    visitMany: () => null,
    visitRange: () => null,
    tombstone(collection, key) {
      const change = latestChange(open()[lineOf({ collection, key })]!.state, { collection, key })
      return change === null || change.type === 'put' ? null : change.tombstone
    },
    scan: (range) => scanLines(open(), range),
    commit,
    changes: (after, limit, scope, maxBytes) => changesOfLines(open(), after, limit, scope, maxBytes),
    hasSeen: (cursor, version) =>
      parseCursor(split(cursor, count)[lineOf(version)]!).revision >= version.revision,
    head: () => join(positions()),
    async forget(beforeMs, limit) {
      let forgotten = 0
      for (const { state } of open()) forgotten += forgetTombstones(state, beforeMs, limit - forgotten)
      return forgotten
    },
    forgottenClock: () => Math.max(...open().map(({ state }) => state.forgottenClock)),
    expiring: (atMs, limit) =>
      open()
        .flatMap(({ state }) => expiringMembers(state, atMs, limit))
        .sort((a, b) => a.expiresAtMs - b.expiresAtMs)
        .slice(0, limit),
    collections: () => {
      const sums = new Map<string, { name: string; members: number; bytes: number }>()
      for (const { name, members, bytes } of open().flatMap(({ state }) => collectionStats(state))) {
        const sum = sums.get(name)
        sums.set(name, { name, members: members + (sum?.members ?? 0), bytes: bytes + (sum?.bytes ?? 0) })
      }
      return [...sums.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
    },
    stats: () => stats.numbers,
    writeFault: () => null,
    async close() {
      isClosed = true
    },
    lose(changes) {
      for (const line of lines) loseTail(line, changes)
      onSetback()
    },
  }
}

function addTo(groups: Map<number, number[]>, line: number, ...indexes: number[]): void {
  const known = groups.get(line)
  if (known === undefined) groups.set(line, indexes)
  else known.push(...indexes)
}

/** A revision after it is never that of a lost change. */
const gapRevisions = 1000

function loseTail(line: Line, changes: number): void {
  if (line.history.length === 0) return
  const { lastRevision } = line.state
  line.history.splice(Math.max(0, line.history.length - changes))
  line.state = newState(0)
  for (const change of line.history) storeChange(line.state, change)
  const kept = line.history.at(-1)
  const after = kept === undefined ? 0 : revisionOf(kept)
  line.state.lastRevision = lastRevision + gapRevisions
  line.gaps.push({ after, before: line.state.lastRevision })
}

const separator = '.'

function join(positions: readonly string[]): FeedCursor {
  return positions.join(separator)
}

/** Throws `invalid_cursor`. */
function split(cursor: FeedCursor, count: number): string[] {
  if (cursor === '' || cursor === '0') return Array.from({ length: count }, () => '0')
  const positions = cursor.split(separator)
  if (positions.length !== count || positions.includes('')) {
    throw new KvistError('invalid_cursor', 'this is not a resume point of the feed')
  }
  return positions
}

function changesOfLines(
  lines: readonly Line[],
  after: FeedCursor,
  limit: number,
  scope: ChangesScope | undefined,
  maxBytes: number = maxPageBytes,
): ChangesPage {
  const from = split(after, lines.length)
  const pages = lines.map(({ state, gaps }, i) => {
    const { revision } = parseCursor(from[i]!)
    const gap = gaps.find(({ after, before }) => revision > after && revision < before)
    if (gap !== undefined) throw compacted(lines)
    try {
      return changesAfter(state, from[i]!, limit, scope, maxBytes)
    } catch (error) {
      throw error instanceof KvistError && error.code === 'compacted' ? compacted(lines) : error
    }
  })
  const all = pages.flatMap((page, line) => page.changes.map((change, index) => ({ change, line, index })))
  all.sort((a, b) => revisionOf(a.change) - revisionOf(b.change))
  // What follows on a line whose page goes on may come before what other lines have.
  const lasts = pages.filter(({ atEnd }) => !atEnd).map(({ next }) => parseCursor(next).revision)
  const known = all.filter(({ change }) => lasts.every((last) => revisionOf(change) <= last))
  const taken = withinBytes(known.slice(0, limit), maxBytes, ({ change }) =>
    change.type === 'put' ? Buffer.byteLength(change.member.value) : 0,
  )
  const cursorAfter = (index: number) => {
    const positions = [...from]
    for (const { line, index: at } of taken.slice(0, index + 1))
      positions[line] = pages[line]!.cursorAfter(at)
    return join(positions)
  }
  const isCut = pages.some((page) => page.isCut) || taken.length < Math.min(known.length, limit)
  const atEnd = taken.length === all.length && lasts.length === 0
  const next = atEnd ? join(pages.map((page) => page.next)) : cursorAfter(taken.length - 1)
  return { changes: taken.map(({ change }) => change), cursorAfter, next, atEnd, isCut }
}

function compacted(lines: readonly Line[]): KvistError {
  const oldest = join(lines.map(({ state }) => String(state.forgotten)))
  return new KvistError('compacted', 'the feed does not reach back to this resume point any more', { oldest })
}

function scanLines(lines: readonly Line[], range: ScanRange): ScanPage {
  const { order, limit, maxBytes = maxPageBytes } = range
  const pages = lines.map(({ state }) => scanMembers(state, range))
  const sign = order === 'asc' ? 1 : -1
  const all = pages.flatMap(({ members }) => members).sort((a, b) => sign * compareKeys(a.key, b.key))
  // What follows on a line whose page goes on: keys from `next` on, or below it.
  const nexts = pages.flatMap(({ next }) => next ?? []).sort((a, b) => sign * compareKeys(a, b))
  const known = all.filter(({ key }) =>
    nexts.every((next) => (order === 'asc' ? compareKeys(key, next) < 0 : compareKeys(key, next) >= 0)),
  )
  const members = withinBytes(known.slice(0, limit), maxBytes, ({ value }) => Buffer.byteLength(value))
  if (members.length === all.length && nexts.length === 0) return { members, next: null, isCut: false }
  const isCut = pages.some((page) => page.isCut) || members.length < Math.min(known.length, limit)
  const last = members.at(-1)
  if (last === undefined)
    return { members, next: known.length === 0 ? nexts[0]! : boundOf(known[0]!, order), isCut }
  return { members, next: order === 'asc' ? keyAfter(last.key) : last.key, isCut }
}

/** The bound of a range that begins with this member. */
function boundOf({ key }: Member, order: ScanRange['order']): string {
  return order === 'asc' ? key : keyAfter(key)
}

/** As many from the front as come to so many bytes. */
function withinBytes<Item>(items: Item[], maxBytes: number, bytesOf: (item: Item) => number): Item[] {
  let bytes = 0
  const end = items.findIndex((item) => {
    bytes += bytesOf(item)
    return bytes > maxBytes
  })
  return end < 0 ? items : items.slice(0, end)
}
