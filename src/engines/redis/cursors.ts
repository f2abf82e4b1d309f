import type { FeedCursor } from '../../core/engine.ts'
import { KvistError } from '../../core/errors.ts'
import { cursorText, type Position, parseCursor } from '../revision-cursor.ts'

/**
 * Cursors of a store with several lines: a position on each (revision-cursor.ts). Its text is base64url of
 *
 *     version, 1 byte · the largest revision · for each line: 0 at its beginning, or 1 + how far its revision is behind
 *     the largest · for each line that has `began`: the number of lines since the last such, and began - revision
 *
 * with numbers as varints. Each position has one text only; that of the beginning is `0`. On a single line it is that of
 * revision-cursor.ts, as with the other engines.
 */
export type Vector = readonly Position[]

const version = 1

function beginning(lines: number): Vector {
  return Array.from({ length: lines }, () => ({ revision: 0, began: null }))
}

export function vectorText(vector: Vector): FeedCursor {
  const largest = Math.max(...vector.map(({ revision }) => revision))
  if (largest === 0) return '0'
  if (vector.length === 1) return cursorText(largest, vector[0]!.began)
  const bytes = [version]
  addVarint(bytes, largest)
  for (const { revision } of vector) addVarint(bytes, revision === 0 ? 0 : largest - revision + 1)
  let last = -1
  for (const [line, { revision, began }] of vector.entries()) {
    if (began === null || began <= revision || revision === 0) continue
    addVarint(bytes, line - last)
    addVarint(bytes, began - revision)
    last = line
  }
  return Buffer.from(bytes).toString('base64url')
}

/** Throws `invalid_cursor` for a text that no cursor of this many lines has. */
export function parseVector(cursor: FeedCursor, lines: number): Vector {
  if (cursor === '' || cursor === '0') return beginning(lines)
  if (lines === 1) return [parseCursor(cursor)]
  const vector = cursor.length > maxText(lines) ? null : vectorIn(Buffer.from(cursor, 'base64url'), lines)
  if (vector === null || vectorText(vector) !== cursor) {
    throw new KvistError('invalid_cursor', 'this is not a resume point of the feed')
  }
  return vector
}

const maxVarintBytes = 8

function maxText(lines: number): number {
  return 4 * (1 + maxVarintBytes * (1 + 3 * lines))
}

function vectorIn(bytes: Buffer, lines: number): Vector | null {
  const reader = { bytes, at: 1 }
  if (bytes[0] !== version) return null
  const largest = readVarint(reader)
  const vector: { revision: number; began: number | null }[] = []
  for (let line = 0; line < lines; line++) {
    const behind = readVarint(reader)
    const revision = behind === 0 ? 0 : largest - behind + 1
    if (!Number.isSafeInteger(revision) || revision < 0) return null
    vector.push({ revision, began: null })
  }
  let line = -1
  while (reader.at < bytes.length) {
    line += readVarint(reader)
    const position = vector[line]
    const began = (position?.revision ?? 0) + readVarint(reader)
    if (position === undefined || !Number.isSafeInteger(began)) return null
    position.began = began
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
export function missedAt({ revision, began }: Position, { head, forgotten, gaps }: LineState): string | null {
  const last = Math.max(revision, began ?? 0)
  const isLost = (at: number) => at > head || gaps.some(({ after, before }) => after < at && at < before)
  if (isLost(revision) || isLost(last)) {
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
  from: Position,
  head: number,
  isAnyForgotten: boolean,
): Position {
  const began = from.revision === 0 && isAnyForgotten ? head : from.began
  return { revision, began: began !== null && revision > 0 && revision < began ? began : null }
}
