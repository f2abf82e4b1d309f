import type { FeedCursor } from '../../core/engine.ts'
import { KvistError } from '../../core/errors.ts'
import { cursorText, type Position, parseCursor } from '../revision-cursor.ts'

/**
 * Cursors of a store with several lines: a position on each (revision-cursor.ts). Its text is base64url of
 *
 *     version, 1 byte · the largest revision · for each line: 0 at its beginning, or 1 + how far its revision is behind
 *     the largest · for each line that has `began`: the number of lines since the last such, and began - revision
 *     · if a line has `seen`: 0, and the same for those
 *
 * with numbers as varints. Each position has one text only; that of the beginning is `0`. On a single line it is that of
 * revision-cursor.ts, as with the other engines, with `~seen` behind it where there is one.
 */
export type Vector = readonly LinePosition[]

/**
 * A page leaves out a change that a later one of the same member replaced. If a failover loses the later one the earlier is back,
 * where the reader has passed already. So a position that is not at the head remembers the head that the pages before it had.
 */
export interface LinePosition extends Position {
  /** The largest head of the pages that the reader read; null where it is at the head. */
  readonly seen: number | null
}

const version = 1

const beginningOfLine: LinePosition = { revision: 0, began: null, seen: null }

function beginning(lines: number): Vector {
  return Array.from({ length: lines }, () => beginningOfLine)
}

/** Returns the position of a reader of what was reported, up to a revision of each line. */
export function vectorOf(reported: readonly number[], seenHeads: readonly number[]): LinePosition[] {
  return reported.map((revision, line) => linePosition(revision, null, seenHeads[line]!))
}

/** Returns a position that remembers what is ahead of it alone. */
export function linePosition(revision: number, began: number | null, seen: number): LinePosition {
  const isAhead = (at: number) => revision > 0 && at > revision
  return {
    revision,
    began: began !== null && isAhead(began) ? began : null,
    seen: isAhead(seen) ? seen : null,
  }
}

export function vectorText(vector: Vector): FeedCursor {
  const largest = Math.max(...vector.map(({ revision }) => revision))
  if (largest === 0) return '0'
  if (vector.length === 1) return lineText(vector[0]!)
  const bytes = [version]
  addVarint(bytes, largest)
  for (const { revision } of vector) addVarint(bytes, revision === 0 ? 0 : largest - revision + 1)
  addAhead(bytes, vector, ({ began }) => began)
  if (vector.some(({ seen }) => seen !== null)) {
    bytes.push(0)
    addAhead(bytes, vector, ({ seen }) => seen)
  }
  return Buffer.from(bytes).toString('base64url')
}

function lineText({ revision, began, seen }: LinePosition): FeedCursor {
  const text = cursorText(revision, began)
  return seen === null ? text : `${text}${seenSeparator}${seen}`
}

const seenSeparator = '~'

function parseLine(cursor: FeedCursor): LinePosition | null {
  const [text = '', seen, ...more] = cursor.split(seenSeparator)
  const { revision, began } = parseCursor(text)
  const position = linePosition(revision, began, seen === undefined ? 0 : Number(seen))
  const isSafe = Number.isSafeInteger(position.seen ?? 0)
  return more.length === 0 && isSafe && lineText(position) === cursor ? position : null
}

/** Adds, for the lines that have this revision, how far it is ahead of that of the position. */
function addAhead(bytes: number[], vector: Vector, revisionIn: (one: LinePosition) => number | null): void {
  let last = -1
  for (const [line, position] of vector.entries()) {
    const ahead = (revisionIn(position) ?? 0) - position.revision
    if (ahead <= 0 || position.revision === 0) continue
    addVarint(bytes, line - last)
    addVarint(bytes, ahead)
    last = line
  }
}

/** Throws `invalid_cursor` for a text that no cursor of this many lines has. */
export function parseVector(cursor: FeedCursor, lines: number): Vector {
  if (cursor === '' || cursor === '0') return beginning(lines)
  const vector = vectorFrom(cursor, lines)
  if (vector === null || vectorText(vector) !== cursor) {
    throw new KvistError('invalid_cursor', 'this is not a resume point of the feed')
  }
  return vector
}

function vectorFrom(cursor: FeedCursor, lines: number): Vector | null {
  if (cursor.length > maxText(lines)) return null
  if (lines > 1) return vectorIn(Buffer.from(cursor, 'base64url'), lines)
  const position = parseLine(cursor)
  return position === null ? null : [position]
}

const maxVarintBytes = 8

function maxText(lines: number): number {
  return 4 * (1 + maxVarintBytes * (1 + 5 * lines))
}

function vectorIn(bytes: Buffer, lines: number): Vector | null {
  const reader = { bytes, at: 1 }
  if (bytes[0] !== version) return null
  const largest = readVarint(reader)
  const vector: { revision: number; began: number | null; seen: number | null }[] = []
  for (let line = 0; line < lines; line++) {
    const behind = readVarint(reader)
    const revision = behind === 0 ? 0 : largest - behind + 1
    if (!Number.isSafeInteger(revision) || revision < 0) return null
    vector.push({ revision, began: null, seen: null })
  }
  let name: 'began' | 'seen' = 'began'
  let line = -1
  while (reader.at < bytes.length) {
    const step = readVarint(reader)
    if (step === 0 && name === 'began') {
      name = 'seen'
      line = -1
      continue
    }
    line += step
    const position = vector[line]
    const ahead = (position?.revision ?? 0) + readVarint(reader)
    if (position === undefined || !Number.isSafeInteger(ahead)) return null
    position[name] = ahead
  }
  return vector
}

function addVarint(bytes: number[], value: number): void {
  let rest = value
  while (rest >= 128) {
    bytes.push((rest % 128) + 128)
    rest = Math.floor(rest / 128)
  }
  bytes.push(rest)
}

/** Returns NaN at the end of the bytes, and for a number that is too large. */
function readVarint(reader: { readonly bytes: Buffer; at: number }): number {
  let value = 0
  let factor = 1
  for (let i = 0; i < maxVarintBytes; i++) {
    const byte = reader.bytes[reader.at++]
    if (byte === undefined) return Number.NaN
    value += (byte % 128) * factor
    if (byte < 128) return value
    factor *= 128
  }
  return Number.NaN
}

/** What decides whether a position on a line is served. */
export interface LineState {
  readonly head: number
  /** The revision of the newest forgotten tombstone. */
  readonly forgotten: number
  /** Revisions between `after` and `before` may be those of lost changes. */
  readonly gaps: readonly { readonly after: number; readonly before: number }[]
}

/** Returns why a reader at this position would miss changes; null if it would not. */
export function missedAt(
  { revision, began, seen }: LinePosition,
  { head, forgotten, gaps }: LineState,
): string | null {
  const isLost = (at: number | null) =>
    at !== null && (at > head || gaps.some(({ after, before }) => after < at && at < before))
  if (isLost(revision) || isLost(began) || isLost(seen)) {
    return 'the feed ends before this resume point: the store lost changes in a failover, or is an older copy'
  }
  if (revision > 0 && (began ?? revision) < forgotten) {
    return 'the feed does not reach back to this resume point any more'
  }
  return null
}

/**
 * Returns the position at a revision for a reader that came from another position. One that came from the beginning of
 * the line after tombstones were forgotten, on whatever line, has seen no member that was removed before now: it misses
 * nothing if those tombstones are forgotten too.
 */
export function positionAt(
  revision: number,
  from: LinePosition,
  head: number,
  isAnyForgotten: boolean,
): LinePosition {
  const began = from.revision === 0 && isAnyForgotten ? head : from.began
  return linePosition(revision, began, Math.max(head, from.seen ?? 0))
}
