import type { ChangesPage, ChangesScope, FeedCursor } from '../../core/engine.ts'
import { KvistError } from '../../core/errors.ts'
import { maxPageBytes } from '../../core/limits.ts'
import { type LinePosition, missedAt, parseVector, positionAt, type Vector, vectorText } from './cursors.ts'
import type { LineMap } from './layout.ts'
import {
  changeOfFound,
  type FeedPart,
  type FoundRecord,
  isWhole,
  type LineReads,
  largeValues,
  maxLinePage,
  valueBytesOf,
} from './line-reads.ts'
import { shareOf } from './member-reads.ts'

export interface ChangesOptions {
  readonly reads: LineReads
  readonly lines: LineMap
  /** The revision up to which changes of a line were reported. */
  readonly reported: (line: number) => number
  readonly whenReported: (line: number, revision: number) => Promise<void> | null
}

/** A page of the feed before its values were read. */
interface Draft {
  readonly found: readonly FoundRecord[]
  readonly parts: ReadonlyMap<number, FeedPart>
  readonly atEnd: boolean
  readonly isCut: boolean
}

/** Returns a page of the changes after a cursor. Throws `invalid_cursor` and `compacted`. */
export async function changesAfter(
  options: ChangesOptions,
  cursor: FeedCursor,
  limit: number,
  scope: ChangesScope | undefined,
  maxBytes: number = maxPageBytes,
): Promise<ChangesPage> {
  const { reads, lines, whenReported } = options
  const from = parseVector(cursor, lines.count)
  const draft = await draftAfter(options, from, Math.min(limit, maxLinePage), scope, maxBytes)
  const parts = new Map(draft.parts)
  const values = await largeValues(reads, draft.found, (line, revision) => {
    const part = parts.get(line)!
    parts.set(line, { ...part, head: Math.max(part.head, revision) })
  })
  // One whose value has changed since is not the latest change of its member: it comes later.
  const found = draft.found.filter((one) => isWhole(one, values))
  for (const [line, part] of draft.parts) await whenReported(line, part.through)
  return {
    changes: found.map((one) => changeOfFound(one, values)),
    cursorAfter: (index) => vectorText(vectorAfter(from, parts, found.slice(0, index + 1))),
    next: vectorText(nextAfter(options, from, parts, draft.found)),
    atEnd: draft.atEnd,
    isCut: draft.isCut,
  }
}

async function draftAfter(
  options: ChangesOptions,
  from: Vector,
  limit: number,
  scope: ChangesScope | undefined,
  maxBytes: number,
): Promise<Draft> {
  const { reads, lines } = options
  const inScope = linesOf(lines, scope)
  const share = shareOf(limit, inScope.length)
  const parts = new Map<number, FeedPart>()
  await Promise.all(
    inScope.map(async (line) => {
      parts.set(line, await reads.feed(line, { after: from[line]!.revision, limit: share, ...scope }))
    }),
  )
  requireServed(from, parts, lines.count)
  const all = [...parts.values()].flatMap(({ found }) => found).sort(byRevision)
  // What follows on a line whose part goes on may come before what other lines have.
  const end = Math.min(
    ...[...parts.values()].map((part) => (part.atEnd ? Number.POSITIVE_INFINITY : part.through)),
  )
  const known = all.filter(({ record }) => record.revision <= end)
  const { found, isCut } = within(known, limit, maxBytes)
  const isAll = found.length === all.length
  return { found, parts, atEnd: isAll && end === Number.POSITIVE_INFINITY, isCut }
}

/** Returns where a reader is that has handled a page: past its changes, and what lies between them and the next. */
function nextAfter(
  { lines, reported }: ChangesOptions,
  from: Vector,
  parts: ReadonlyMap<number, FeedPart>,
  found: readonly FoundRecord[],
): Vector {
  const next = vectorAfter(from, parts, found)
  for (const [line, part] of parts) {
    const taken = found.filter((one) => one.line === line).length
    if (taken === part.found.length)
      next[line] = positionAt(part.through, from[line]!, part.head, isAnyForgotten(parts))
  }
  for (const line of lines.all()) {
    if (parts.has(line)) continue
    // There is nothing of the scope on the line.
    const head = Math.max(reported(line), from[line]!.revision)
    next[line] = positionAt(head, from[line]!, head, false)
  }
  return next
}

function linesOf(lines: LineMap, scope: ChangesScope | undefined): readonly number[] {
  if (scope === undefined) return lines.all()
  const { collection, key } = scope
  return key === undefined ? lines.linesOf(collection) : [lines.lineOf({ collection, key })]
}

function byRevision(a: FoundRecord, b: FoundRecord): number {
  return a.record.revision - b.record.revision || a.line - b.line
}

function within(known: readonly FoundRecord[], limit: number, maxBytes: number) {
  let bytes = 0
  for (const [i, one] of known.entries()) {
    if (i === limit) return { found: known.slice(0, i), isCut: false }
    bytes += valueBytesOf(one)
    if (bytes > maxBytes) return { found: known.slice(0, i), isCut: true }
  }
  return { found: known, isCut: false }
}

/** Returns where a reader is that has handled these changes. */
function vectorAfter(
  from: Vector,
  parts: ReadonlyMap<number, FeedPart>,
  found: readonly FoundRecord[],
): LinePosition[] {
  const vector = [...from]
  const isAny = isAnyForgotten(parts)
  for (const { line, record } of found)
    vector[line] = positionAt(record.revision, from[line]!, parts.get(line)!.head, isAny)
  return vector
}

function isAnyForgotten(parts: ReadonlyMap<number, FeedPart>): boolean {
  return [...parts.values()].some(({ forgotten }) => forgotten > 0)
}

function requireServed(from: Vector, parts: ReadonlyMap<number, FeedPart>, lines: number): void {
  for (const [line, part] of parts) {
    const missed = missedAt(from[line]!, part)
    if (missed === null) continue
    const oldest = Array.from({ length: lines }, (_, i) => ({
      revision: parts.get(i)?.forgotten ?? from[i]!.revision,
      began: null,
      seen: null,
    }))
    throw new KvistError('compacted', missed, { oldest: vectorText(oldest) })
  }
}
