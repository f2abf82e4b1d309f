import { monotonicMs } from './clock.ts'
import { KvistError, KvistHttpError, KvistUnreachableError } from './errors.ts'
import { eventParser } from './events.ts'
import { type Parameters, query } from './names.ts'
import type { ScopeOptions } from './options.ts'
import type { CallOptions, OpenedResponse, Transport } from './request.ts'
import { pause, pauseMs } from './retry.ts'
import type { ResumePoint } from './types.ts'

export interface WatchOptions extends Pick<CallOptions, 'signal' | 'timeoutMs'> {
  /**
   * Milliseconds of silence after which a stream is closed and opened again; 45,000 is the default, 0 is never. The
   * server sends a heartbeat every 15 s.
   */
  readonly silenceMs?: number | undefined
  /**
   * The start: the resume point of an event, `next` of a page of changes, or 0 for everything that exists and then the
   * changes after it. By default the watch starts now; `onConnect` reports when that is.
   */
  readonly since?: ResumePoint | number | undefined
  /** Called for each connection, the first one included. */
  readonly onConnect?: (() => void) | undefined
  /** Called when a connection is lost. The watch reconnects until it is ended. */
  readonly onDisconnect?: ((error: KvistError) => void) | undefined
}

/** Selects a part of a collection: one member, or those that match prefix and filter. */
export interface WatchMembersOptions extends WatchOptions, ScopeOptions {
  readonly key?: string | undefined
}

/** Options of a watch of the whole store whose events stay as they were sent. */
export interface WatchRawOptions extends WatchOptions, ScopeOptions {
  readonly include?: 'keys' | undefined
}

/** An event as the server sent it. */
export interface RawEvent {
  readonly type: 'put' | 'leave' | 'delete' | 'expire' | 'reset'
  /** The JSON of the change; for a reset `{"oldest": …}`. */
  readonly json: string
  /** A later watch with this resume point continues after this event. */
  readonly resumePoint: ResumePoint
}

const defaultSilenceMs = 45_000
/** Milliseconds of the first pause after a lost connection; the server may set another (`retry:`). */
const firstPauseMs = 200
/** After a connection that lasted this many milliseconds the pauses start again from the first. */
const steadyMs = 5000

const eventTypes: ReadonlySet<string> = new Set(['put', 'leave', 'delete', 'expire', 'reset'])

/**
 * Yields changes as they happen. After a lost connection, or a restart of the server, it continues after the last event
 * that it yielded: none is missed, none repeated. The watch ends when the iteration does, and, without an error, when
 * `signal` is aborted.
 *
 * It throws when the first connection cannot be made, and when the server refuses for a reason that waiting does not
 * fix, such as a wrong token.
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
    this.#position = { resumePoint: since === undefined ? null : String(since) }
    const source = { transport, path, parameters, options: { ...options, signal: this.#stop.signal } }
    this.#events = this.#run(follow(source, this.#position), read, signal)
  }

  /**
   * The `since` with which a later watch continues here. Null until the server has sent the start of a watch without
   * one.
   */
  get resumePoint(): ResumePoint | null {
    return this.#position.resumePoint
  }

  next(): Promise<IteratorResult<E, void>> {
    return this.#events.next()
  }

  /** Ends the watch at once, also while `next` waits for an event. */
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
    // Registered only when the iteration begins, so that a watch that is never read leaves no listener behind.
    if (signal?.aborted) this.#end()
    signal?.addEventListener('abort', this.#end, { once: true })
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
  resumePoint: ResumePoint | null
}

async function* follow(source: Source, position: Position): AsyncGenerator<RawEvent, void, void> {
  const { transport, options } = source
  let wasConnected = false
  let isLost = false
  let failures = 0
  let firstMs = firstPauseMs
  for (;;) {
    const parser = eventParser()
    let lost: KvistError
    let openedAtMs = Number.POSITIVE_INFINITY
    try {
      const { chunks } = await openStream(source, position, wasConnected)
      for await (const chunk of chunks) {
        const events = parser.push(chunk)
        if (openedAtMs > monotonicMs()) {
          openedAtMs = monotonicMs()
          wasConnected = true
          isLost = false
          options.onConnect?.()
        }
        for (const { type, data, lastId } of events) {
          position.resumePoint = lastId ?? position.resumePoint
          failures = 0
          if (isKnown(type)) yield { type, json: data, resumePoint: position.resumePoint ?? '' }
        }
        position.resumePoint = parser.lastId() ?? position.resumePoint
      }
      lost = new KvistUnreachableError(transport.url, new Error('the server ended the stream'))
    } catch (error) {
      if (!wasConnected || !mayPass(error)) throw error
      lost = error
    }
    if (!isLost) options.onDisconnect?.(lost)
    isLost = true
    firstMs = parser.retryMs() ?? firstMs
    if (monotonicMs() - openedAtMs > steadyMs) failures = 0
    await pause(pauseMs(failures++, lost, firstMs), options.signal)
  }
}

async function openStream(source: Source, position: Position, isAgain: boolean): Promise<OpenedResponse> {
  const { transport, path, parameters, options } = source
  const call = {
    method: 'GET',
    path: path + query({ ...parameters, since: position.resumePoint }),
    headers: { accept: 'text/event-stream' },
    retry: 'idempotent' as const,
    options: { ...options, ...(isAgain ? { retries: 0 } : {}) },
  }
  const opened = await transport.open(call, options.silenceMs ?? defaultSilenceMs)
  const type = opened.response.headers.get('content-type') ?? ''
  if (type.startsWith('text/event-stream')) return opened
  opened.close()
  throw transport.notKvist(opened.response)
}

function isKnown(type: string): type is RawEvent['type'] {
  return eventTypes.has(type)
}

/** Returns whether a retry may succeed. */
function mayPass(error: unknown): error is KvistError {
  if (error instanceof KvistHttpError) return error.status === 429 || error.status >= 500
  return error instanceof KvistError
}
