import type { Archive } from '../../core/archive.ts'
import type { FeedCursor, MaybePromise, MemberRef } from '../../core/engine.ts'
import { KvistError } from '../../core/errors.ts'
import { type FeedEvent, type Scope, valueLength } from '../../core/feed/scope.ts'
import type { WatchBatch, Watcher } from '../../core/feed/watcher.ts'
import { maxPageBytes, smallPageBytes } from '../../core/limits.ts'
import type { Store } from '../../core/store.ts'
import type { WatchCounts, WatchKind } from '../../telemetry/watch-counts.ts'
import { refuseHeaders } from '../binding-headers.ts'
import type { RequestContext } from '../context.ts'
import type { LargeValues } from '../large-values.ts'
import { parametersOf } from '../path.ts'
import {
  commentFrame,
  type EventStreams,
  eventEnd,
  eventFrame,
  eventStart,
  type FrameSource,
} from '../sse.ts'
import { WatchMemory } from '../watch-memory.ts'
import type { Connection } from '../wire/client-connection.ts'
import { headerBits } from '../wire/head.ts'
import type { HttpRequest } from '../wire/request.ts'
import type { HttpResponse } from '../wire/response.ts'
import { parseChoice } from './choice.ts'
import { parseScope, pointValue, scopeParameters } from './feed-scope.ts'
import { nextPiece, pieceChars } from './pieces.ts'
import { changeKey, changeLine, changeLinePieces, eventType } from './serializers.ts'

/** Watches a member, a collection or the whole store by server-sent events. */

/** The dependencies of watching. */
export interface Watching {
  readonly db: Store
  readonly values: LargeValues
  readonly streams: EventStreams
  readonly counts: WatchCounts
  /** Null without one. */
  readonly archive: Archive | null
}

/** Watches a member, which need not exist yet. */
export function watchMember(
  watching: Watching,
  request: HttpRequest,
  { collection, key }: MemberRef,
  context: RequestContext,
): Promise<HttpResponse> {
  const { since } = parametersOf(request, ['since'])
  return watch(watching, request, { collection, key, prefix: null, filter: null }, since, context)
}

export function watchCollection(
  watching: Watching,
  request: HttpRequest,
  collection: string,
  context: RequestContext,
): Promise<HttpResponse> {
  const { since, ...given } = parametersOf(request, ['since', 'prefix', 'filter', 'where'])
  return watch(watching, request, { ...parseScope(given), collection }, since, context)
}

export function watchStore(
  watching: Watching,
  request: HttpRequest,
  context: RequestContext,
): Promise<HttpResponse> {
  const { since, include, ...given } = parametersOf(request, ['since', 'include', ...scopeParameters])
  const keysOnly = include !== undefined && parseChoice('include', include, ['keys']) === 'keys'
  return watch(watching, request, parseScope(given), since, context, keysOnly)
}

/** Conditions that are refused, because a watch has no single state that they could refer to. */
const stateConditions = headerBits(['if-match', 'if-unmodified-since'])

/**
 * Starts a stream of changes. The cursor in Last-Event-ID, which a reconnecting client sends, takes precedence over the
 * `since` with which it once began.
 */
async function watch(
  { db, streams, counts }: Watching,
  request: HttpRequest,
  scope: Scope,
  given: string | undefined,
  context: RequestContext,
  keysOnly = false,
): Promise<HttpResponse> {
  refuseHeaders(request, stateConditions)
  const since = request.header('last-event-id') || (given ?? null)
  if (since !== null) await requirePoint(db, since)
  return streams.respond(
    context.connection,
    (wake) =>
      new WatchSource(db.watch(scope, since, wake), counts, kindOf(scope), context.connection, keysOnly),
  )
}

/**
 * Throws `invalid_cursor` while a problem response is still possible. Compacted cursors are reported by the stream
 * itself.
 */
async function requirePoint(db: Store, point: FeedCursor): Promise<void> {
  try {
    await db.checkCursor(point)
  } catch (error) {
    if (!(error instanceof KvistError) || error.code !== 'compacted') throw error
  }
}

function kindOf({ collection, key }: Scope): WatchKind {
  if (collection === null) return 'store'
  return key === null ? 'collection' : 'member'
}

/** The frames of one watcher. */
class WatchSource implements FrameSource {
  private readonly watcher: Watcher
  private readonly counts: WatchCounts
  private readonly kind: WatchKind
  private isNew = true
  /** Events that were read; those from index `sent` on are not sent yet. */
  private events: readonly FeedEvent[] = []
  private sent = 0
  private encode: Encode = joinedFrames
  /** The pieces of the large event that is being sent. */
  private pieces: Iterator<string> | null = null
  private readonly memory: WatchMemory

  /** Events are sent without values (`include=keys`). */
  private readonly keysOnly: boolean

  constructor(
    watcher: Watcher,
    counts: WatchCounts,
    kind: WatchKind,
    connection: Connection,
    keysOnly: boolean,
  ) {
    this.keysOnly = keysOnly
    this.watcher = watcher
    this.counts = counts
    this.kind = kind
    this.memory = new WatchMemory(connection)
    counts.open[kind]++
  }

  next(): MaybePromise<Uint8Array | null> {
    if (this.isNew) {
      this.isNew = false
      return pointFrame('watching', this.watcher.cursor())
    }
    const piece = this.pieces === null ? null : nextPiece(this.pieces)
    if (piece !== null) return Buffer.from(piece)
    this.pieces = null
    if (this.sent < this.events.length) return this.send()
    this.memory.release()
    return this.read(smallPageBytes)
  }

  /** Called only when all events that were read have been sent. */
  heartbeat(): Uint8Array {
    return pointFrame('heartbeat', this.watcher.cursor())
  }

  close(): void {
    this.watcher.close()
    this.events = []
    this.pieces = null
    this.memory.release()
    this.counts.open[this.kind]--
  }

  private read(maxBytes: number): MaybePromise<Uint8Array | null> {
    const read = this.watcher.read(maxBytes)
    if (!(read instanceof Promise)) return this.take(read, joinedFrames)
    // A watcher that catches up reads events from the store that no other watcher shares.
    return read.then((batch) => this.take(batch, writtenFrames))
  }

  private take(batch: WatchBatch | null, encode: Encode): MaybePromise<Uint8Array | null> {
    if (batch === null) {
      this.memory.release()
      return null
    }
    if (batch.type === 'reset') return resetFrame(batch.oldest)
    if (batch.type === 'large') return this.readLarge(batch.event)
    this.memory.hold(batch.events, encode === joinedFrames)
    this.events = batch.events
    this.encode = this.keysOnly ? keyFrames : encode
    this.sent = 0
    return this.events.length === 0 ? this.next() : this.send()
  }

  /** Reads a large event when there is memory for it. Until then it stays in the watcher's queue, or in the store. */
  private async readLarge(event: FeedEvent | null): Promise<Uint8Array | null> {
    await this.memory.reserve(event)
    return this.read(event === null ? maxPageBytes : valueLength(event.change))
  }

  private send(): Uint8Array {
    const first = this.events[this.sent]!
    if (this.encode === writtenFrames && isLarge(first)) {
      this.pieces = framePieces(first)
      this.sent++
      this.counts.events[this.kind]++
      if (this.sent === this.events.length) this.events = []
      return Buffer.from(nextPiece(this.pieces)!)
    }
    const [bytes, end] = this.encode(this.events, this.sent)
    this.counts.events[this.kind] += end - this.sent
    this.sent = end
    if (end === this.events.length) this.events = []
    return bytes
  }
}

/**
 * Encodes events from index `from` on, about `bufferedBytes` in total; returns the bytes and the index of the first
 * event that is not included.
 */
type Encode = (events: readonly FeedEvent[], from: number) => [bytes: Uint8Array, end: number]

const bufferedBytes = 48 * 1024

const writtenFrames: Encode = (events, from) => {
  let text = ''
  let end = from
  do text += frameText(events[end++]!)
  while (end < events.length && text.length < bufferedBytes && !isLarge(events[end]!))
  return [Buffer.from(text), end]
}

const keyFrames: Encode = (events, from) => {
  let text = ''
  let end = from
  do {
    const event = events[end++]!
    text += eventFrame(eventType(event), event.cursor, changeKey(event))
  } while (end < events.length && text.length < bufferedBytes)
  return [Buffer.from(text), end]
}

const frames = new WeakMap<FeedEvent, Buffer>()

/** Encodes events that other watchers share: each is serialized once for all of them. */
const joinedFrames: Encode = (events, from) => {
  const joined: Buffer[] = []
  let bytes = 0
  let end = from
  while (end < events.length && bytes < bufferedBytes) {
    const event = events[end++]!
    let frame = frames.get(event)
    if (frame === undefined) {
      frame = Buffer.from(frameText(event))
      frames.set(event, frame)
    }
    joined.push(frame)
    bytes += frame.length
  }
  return [joined.length === 1 ? joined[0]! : Buffer.concat(joined, bytes), end]
}

function frameText(event: FeedEvent): string {
  return eventFrame(eventType(event), event.cursor, changeLine(event))
}

function isLarge({ change }: FeedEvent): boolean {
  return valueLength(change) > pieceChars
}

function* framePieces(event: FeedEvent): Generator<string> {
  yield eventStart(eventType(event), event.cursor)
  yield* changeLinePieces(event)
  yield eventEnd
}

function resetFrame(oldest: FeedCursor): Uint8Array {
  return Buffer.from(eventFrame('reset', '', JSON.stringify({ oldest: pointValue(oldest) })))
}

let lastComment = ''
let lastPoint = ''
let lastFrame: Uint8Array = Buffer.alloc(0)

/** Returns a comment frame with a cursor; the last one is cached, because most idle watchers have the same cursor. */
function pointFrame(comment: string, point: FeedCursor): Uint8Array {
  if (comment !== lastComment || point !== lastPoint) {
    lastComment = comment
    lastPoint = point
    lastFrame = Buffer.from(commentFrame(comment, point))
  }
  return lastFrame
}
