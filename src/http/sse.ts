import type { MaybePromise } from '../core/engine.ts'
import { eventStream } from './media-types.ts'
import { headerBlockOf, inertHeaders } from './response.ts'
import type { Connection, LongLivedResponse } from './wire/client-connection.ts'
import type { BodyWriter, HttpResponse, StreamedBody } from './wire/response.ts'

/**
 * Formats and streams server-sent events (HTML, 9.2).
 *
 * A stream pulls from its source only when the client has read what it was sent, so a client that reads slowly, or not
 * at all, costs no more memory than an idle one (docs/design/feed-http.md).
 */

/** The source of a stream's frames. */
export interface FrameSource {
  /**
   * Returns whole frames, or a piece of a large one, whose other pieces are available at once; null when there is
   * nothing yet: the source then calls `wake` of the stream when there is.
   */
  next(): MaybePromise<Uint8Array | null>
  /** Returns the frame sent at each heartbeat, by which both sides notice when the other is gone. */
  heartbeat(): Uint8Array
  /** Called once, after either side has ended the stream. */
  close(): void
}

export interface EventStreams {
  /**
   * Returns a response that streams the source's frames until either side ends it. Throws `closing` when the server
   * stops.
   */
  respond(connection: Connection, sourceOf: (wake: () => void) => FrameSource): HttpResponse
}

export interface EventStreamOptions {
  readonly heartbeatMs: number
  /** The number of heartbeats after which a client that reads nothing is disconnected. */
  readonly patience: number
}

const usualOptions: EventStreamOptions = { heartbeatMs: 15_000, patience: 20 }

/** Formats one event. The data must be one line. */
export function eventFrame(event: string, id: string, data: string): string {
  return `${eventStart(event, id)}${data}${eventEnd}`
}

/** Formats the lines before the data of an event. */
export function eventStart(event: string, id: string): string {
  return `event: ${event}\n${idLine(id)}data: `
}

export const eventEnd = '\n\n'

/** Formats a comment, which clients ignore, with an id, from which they resume when the connection breaks. */
export function commentFrame(comment: string, id: string): string {
  return `: ${comment}\n${idLine(id)}\n`
}

/** Formats the id line; none for an empty id, which would reset the client's Last-Event-ID. */
function idLine(id: string): string {
  return id === '' ? '' : `id: ${id}\n`
}

/** `X-Accel-Buffering: no` keeps nginx from buffering events. */
const eventHeaders =
  inertHeaders +
  headerBlockOf({
    'Content-Type': eventStream,
    'Cache-Control': 'no-store',
    'X-Accel-Buffering': 'no',
  })

/**
 * Creates streams that share one timer. Their heartbeats are spread over its interval, because sending all at once
 * would delay other requests.
 */
export function eventStreams({ heartbeatMs, patience }: EventStreamOptions = usualOptions): EventStreams {
  const slots = Array.from({ length: heartbeatSlots }, () => new Set<EventStream>())
  let count = 0
  let opened = 0
  let now = 0
  let timer: ReturnType<typeof setInterval> | undefined

  function onTick(): void {
    now = (now + 1) % heartbeatSlots
    for (const stream of slots[now]!) stream.heartbeat(patience)
  }

  return {
    respond(connection, sourceOf) {
      const slot = slots[opened % heartbeatSlots]!
      const stream = new EventStream(connection, sourceOf, () => {
        slot.delete(stream)
        if (--count === 0) clearInterval(timer)
      })
      opened++
      slot.add(stream)
      if (count++ === 0) timer = setInterval(onTick, heartbeatMs / heartbeatSlots)
      return { status: 200, headerBlock: eventHeaders, body: stream }
    },
  }
}

const heartbeatSlots = 60

/** Limit of one write: a larger piece stays in memory until a slow client has read all of it. */
const pieceBytes = 64 * 1024

/** One stream. A class, because there are many. */
class EventStream implements LongLivedResponse, StreamedBody {
  private readonly connection: Connection
  private readonly source: FrameSource
  private readonly onEnd: () => void
  private to: BodyWriter | null = null
  /** The client has read all that it was sent. */
  private hasRoom = false
  /** The rest of frames that exceed one piece. */
  private rest: Uint8Array | null = null
  private isReading = false
  /** The source has called `wake` since its last `next`. */
  private isWoken = false
  /** The source is closed. */
  private hasEnded = false
  /** Heartbeats since the client last read something. */
  private missedHeartbeats = 0

  constructor(connection: Connection, sourceOf: (wake: () => void) => FrameSource, onEnd: () => void) {
    connection.register(this)
    connection.disableTimeout()
    this.connection = connection
    this.source = sourceOf(() => this.wake())
    this.onEnd = onEnd
  }

  pull(to: BodyWriter): void {
    this.to = to
    this.hasRoom = true
    this.missedHeartbeats = 0
    if (this.hasEnded) this.finish()
    else this.fill()
  }

  /** Called when the client has disconnected. */
  cancel(): void {
    this.connection.unregister(this)
    this.close()
  }

  /** Ends the stream when the server stops. Output that the client has not read is lost; it resumes elsewhere. */
  end(): void {
    this.close()
    if (this.hasRoom) this.finish()
  }

  heartbeat(patience: number): void {
    if (this.hasRoom) this.send(this.source.heartbeat())
    else if (++this.missedHeartbeats >= patience) this.connection.abort()
  }

  private wake(): void {
    this.isWoken = true
    this.fill()
  }

  private fill(): void {
    while (this.hasRoom && !this.isReading && !this.hasEnded) {
      if (this.rest !== null) {
        this.send(this.rest)
        continue
      }
      this.isWoken = false
      try {
        const frames = this.source.next()
        if (frames === null) return
        if (frames instanceof Promise) this.fillLater(frames)
        else this.send(frames)
      } catch (error) {
        this.fail(error)
      }
    }
  }

  private fillLater(reading: Promise<Uint8Array | null>): void {
    this.isReading = true
    reading.then(
      (frames) => {
        this.isReading = false
        if (this.hasEnded) return
        if (frames !== null) this.send(frames)
        if (frames !== null || this.isWoken) this.fill()
      },
      (error) => {
        this.isReading = false
        this.fail(error)
      },
    )
  }

  private send(frames: Uint8Array): void {
    const fits = frames.length <= pieceBytes
    this.rest = fits ? null : frames.subarray(pieceBytes)
    this.hasRoom = this.to!.write(fits ? frames : frames.subarray(0, pieceBytes))
    this.missedHeartbeats = 0
  }

  /** Logs the error and ends the stream; the client reconnects and resumes. */
  private fail(error: unknown): void {
    if (this.hasEnded) return
    this.connection.reportError(error)
    this.end()
  }

  private close(): void {
    if (this.hasEnded) return
    this.hasEnded = true
    this.rest = null
    this.source.close()
    this.onEnd()
  }

  private finish(): void {
    this.hasRoom = false
    this.connection.unregister(this)
    this.to!.end()
  }
}
