import { KvistError, KvistHttpError, KvistUnreachableError } from './errors.ts'
import { eventParser } from './events.ts'
import { type Parameters, query } from './names.ts'
import type { CallOptions, Opened, Transport } from './request.ts'
import { pause, pauseMs } from './retry.ts'
import type { ResumePoint } from './types.ts'

export interface WatchOptions extends Pick<CallOptions, 'signal' | 'timeoutMs'> {
  /**
   * A stream on which nothing came for this long is given up, and opened anew: 45,000 where nothing is said, 0 for
   * never. The server sends a sign of life every 15 s.
   */
  readonly silenceMs?: number | undefined
  /**
   * Where to begin: `point` of an event, `next` of a page of changes, 0 for everything that exists and then what
   * follows. Without it: what changes from now on, which is when `onConnect` is called.
   */
  readonly since?: ResumePoint | number | undefined
  /** There is a connection, the first one or a new one. */
  readonly onConnect?: (() => void) | undefined
  /** The connection broke off; the watcher tries to get another one, until it is ended. */
  readonly onDisconnect?: ((error: KvistError) => void) | undefined
}

/** An event as the server sent it. */
export interface RawEvent {
  readonly type: 'put' | 'delete' | 'expire' | 'reset'
  /** A change; of a reset `{"oldest": point}`. */
  readonly json: string
  /** Where a watcher stands who has seen it. */
  readonly point: ResumePoint
}

const usualSilenceMs = 45_000
/** The first pause after a connection broke off; a server may ask for another one (`retry:`). */
const firstPauseMs = 200
/** A connection that lasted so long was a good one: the pauses begin anew. */
const steadyMs = 5000

const eventTypes: ReadonlySet<string> = new Set(['put', 'delete', 'expire', 'reset'])

/**
 * Changes as they happen, to be iterated over. When the connection breaks off, or the server restarts, a new one
 * goes on after the last event that was handed out: none is missed, none comes twice. It ends when the iteration does,
 * and, without an error, when `signal` is aborted.
 *
 * It throws when the first connection cannot be made, and when the server refuses for a reason that waiting does not
 * mend: a token that is not the right one, say.
 */
export class Watch<E> implements AsyncIterableIterator<E, void, void> {
  readonly #stop = new AbortController()
  readonly #events: AsyncGenerator<E, void, void>
  readonly #position: Position

  constructor(
    transport: Transport,
    path: string,
    parameters: Parameters,
    options: WatchOptions,
    read: (event: RawEvent) => E,
  ) {
    const { signal, since } = options
    this.#position = { point: since === undefined ? null : String(since) }
    if (signal?.aborted) this.#stop.abort()
    signal?.addEventListener('abort', this.#end, { once: true })
    const source = { transport, path, parameters, options: { ...options, signal: this.#stop.signal } }
    this.#events = this.#run(follow(source, this.#position), read, signal)
  }

  /** Where it stands: `since` for a later watch. Null as long as it has not heard where it began. */
  get point(): ResumePoint | null {
    return this.#position.point
  }

  next(): Promise<IteratorResult<E, void>> {
    return this.#events.next()
  }

  /** Ends it at once, also while `next` waits for an event. */
  return(): Promise<IteratorResult<E, void>> {
    this.#end()
    return this.#events.return()
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  readonly #end = () => this.#stop.abort()

  async *#run(
    events: AsyncGenerator<RawEvent, void, void>,
    read: (event: RawEvent) => E,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<E, void, void> {
    try {
      for await (const event of events) yield read(event)
    } catch (error) {
      if (!this.#stop.signal.aborted) throw error
    } finally {
      signal?.removeEventListener('abort', this.#end)
    }
  }
}

interface Source {
  readonly transport: Transport
  readonly path: string
  readonly parameters: Parameters
  readonly options: WatchOptions
}

interface Position {
  point: ResumePoint | null
}

async function* follow(source: Source, position: Position): AsyncGenerator<RawEvent, void, void> {
  const { transport, options } = source
  let wasHeard = false
  let isLost = false
  let failures = 0
  let firstMs = firstPauseMs
  for (;;) {
    const parser = eventParser()
    let lost: KvistError
    let openedAtMs = Number.POSITIVE_INFINITY
    try {
      const { chunks } = await openStream(source, position, wasHeard)
      for await (const chunk of chunks) {
        const events = parser.push(chunk)
        if (openedAtMs > Date.now()) {
          openedAtMs = Date.now()
          wasHeard = true
          isLost = false
          options.onConnect?.()
        }
        for (const { type, data, lastId } of events) {
          position.point = lastId ?? position.point
          failures = 0
          if (isKnown(type)) yield { type, json: data, point: position.point ?? '' }
        }
        position.point = parser.lastId() ?? position.point
      }
      lost = new KvistUnreachableError(transport.url, new Error('the server ended the stream'))
    } catch (error) {
      if (!wasHeard || !isPassing(error)) throw error
      lost = error
    }
    if (!isLost) options.onDisconnect?.(lost)
    isLost = true
    firstMs = parser.retryMs() ?? firstMs
    if (Date.now() - openedAtMs > steadyMs) failures = 0
    await pause(pauseMs(failures++, lost, firstMs), options.signal)
  }
}

async function openStream(source: Source, position: Position, isAgain: boolean): Promise<Opened> {
  const { transport, path, parameters, options } = source
  const call = {
    method: 'GET',
    path: path + query({ ...parameters, since: position.point }),
    headers: { accept: 'text/event-stream' },
    repeat: 'freely' as const,
    options: { ...options, ...(isAgain ? { retries: 0 } : {}) },
  }
  const opened = await transport.open(call, options.silenceMs ?? usualSilenceMs)
  const type = opened.response.headers.get('content-type') ?? ''
  if (type.startsWith('text/event-stream')) return opened
  opened.close()
  throw transport.notKvist(opened.response)
}

function isKnown(type: string): type is RawEvent['type'] {
  return eventTypes.has(type)
}

/** Whether it may be over by itself. */
function isPassing(error: unknown): error is KvistError {
  if (error instanceof KvistHttpError) return error.status === 429 || error.status >= 500
  return error instanceof KvistError
}
