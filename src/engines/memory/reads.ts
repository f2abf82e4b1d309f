import type {
  ChangesPage,
  ChangesScope,
  CollectionStats,
  ExpiringRef,
  FeedCursor,
  ScanPage,
  ScanRange,
} from '../../core/engine.ts'
import { keyAfter, sortKey } from '../../core/keys.ts'
import { maxPageBytes } from '../../core/limits.ts'
import { type Change, keyOf, type Member, revisionOf } from '../../core/member.ts'
import { beganAfter, cursorText, parseCursor, requireServed } from '../revision-cursor.ts'
import { type Entry, expiryOf, isLatestChange, latestChange, type State } from './state.ts'

/** Pages of members and of changes. */

/** A page of the feed examines at most this many changes, then returns where to continue. */
const maxExaminedChanges = 20_000

export function scanMembers(state: State, range: ScanRange): ScanPage {
  const { order, limit, keysOnly, maxBytes = maxPageBytes } = range
  const members: Member[] = []
  let bytes = 0
  for (const { change } of entriesIn(state, range)) {
    if (change.type !== 'put') continue
    const { key } = change.member
    const member = keysOnly ? { ...change.member, value: '' } : change.member
    bytes += Buffer.byteLength(member.value)
    const isCut = bytes > maxBytes
    if (members.length === limit || isCut) {
      return { members, next: order === 'asc' ? key : (members.at(-1)?.key ?? keyAfter(key)), isCut }
    }
    members.push(member)
  }
  return { members, next: null, isCut: false }
}

function* entriesIn(state: State, { collection, from, to, order }: ScanRange): Generator<Entry> {
  const members = state.collections.get(collection)?.members
  if (members === undefined) return
  const low = from === null ? '' : sortKey(from)
  const high = to === null ? null : sortKey(to)
  const isPastEnd = ({ sorted }: Entry) => high !== null && sorted >= high
  if (order === 'asc') {
    for (const entry of members.ascending(({ sorted }) => sorted < low)) {
      if (isPastEnd(entry)) return
      yield entry
    }
    return
  }
  for (const entry of members.descending((one) => !isPastEnd(one))) {
    if (entry.sorted < low) return
    yield entry
  }
}

/** Returns a page of the changes after a cursor. Throws `invalid_cursor` and `compacted`. */
export function changesAfter(
  state: State,
  cursor: FeedCursor,
  limit: number,
  scope: ChangesScope | undefined,
  maxBytes: number = maxPageBytes,
): ChangesPage {
  const after = parseCursor(cursor)
  const { forgotten, lastRevision } = state
  requireServed(after, forgotten, lastRevision)
  const began = beganAfter(after, forgotten, lastRevision)
  const changes: Change[] = []
  let bytes = 0
  let examined = 0
  let passed = after.revision
  let atEnd = true
  let isCut = false
  for (const change of changesIn(state, after.revision, scope)) {
    const isLatest = isLatestChange(state, change)
    if (isLatest && change.type === 'put') bytes += Buffer.byteLength(change.member.value)
    isCut = bytes > maxBytes
    atEnd = !isCut && changes.length < limit && examined < maxExaminedChanges
    if (!atEnd) break
    examined++
    passed = revisionOf(change)
    if (isLatest) changes.push(change)
  }
  return {
    changes,
    cursorAfter: (index) => cursorText(revisionOf(changes[index]!), began),
    next: cursorText(atEnd ? lastRevision : passed, began),
    atEnd,
    isCut,
  }
}

/** Yields the changes after a revision, including overtaken ones. */
function* changesIn(state: State, revision: number, scope: ChangesScope | undefined): Generator<Change> {
  if (scope?.key !== undefined) {
    const change = latestChange(state, { collection: scope.collection, key: scope.key })
    if (change !== null && revisionOf(change) > revision) yield change
    return
  }
  const feed = scope === undefined ? state.feed : state.collections.get(scope.collection)?.feed
  if (feed !== undefined) yield* feed.after(revision)
}

export function expiringMembers(state: State, atMs: number, limit: number): ExpiringRef[] {
  const found: ExpiringRef[] = []
  for (const change of state.expiries.ascending(() => false)) {
    const expiresAtMs = expiryOf(change)!
    if (found.length === limit || expiresAtMs > atMs) break
    found.push({
      collection: change.collection,
      key: keyOf(change),
      revision: revisionOf(change),
      expiresAtMs,
    })
  }
  return found
}

export function collectionStats(state: State): CollectionStats[] {
  return [...state.collections.values()]
    .filter(({ count }) => count > 0)
    .map(({ name, count, bytes }) => ({ name, members: count, bytes }))
    .sort((a, b) => (a.name < b.name ? -1 : 1))
}
