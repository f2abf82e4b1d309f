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
   * A stream on which nothing arrives for this long is given up and opened again; 45,000 is the default, 0 is never. The
   * server sends a heartbeat every 15 s.
   */
  readonly silenceMs?: number | undefined
  /**
   * Where to begin: the resume point of an event, `next` of a page of changes, or 0 for everything that exists and then
   * what follows. The default is what changes from now on; `onConnect` says when that begins.
   */
  readonly since?: ResumePoint | number | undefined
  /** Called for each connection, the first one included. */
  readonly onConnect?: (() => void) | undefined
  /** Called when a connection is lost. The watch connects again until it is ended. */
  readonly onDisconnect?: ((error: KvistError) => void) | undefined
}

/** What of a collection is watched: one member, or those that prefix and filter name. */
export interface WatchMembersOptions extends WatchOptions, ScopeOptions {
  readonly key?: string | undefined
}

/** An event as the server sent it. */
export interface RawEvent {
  readonly type: 'put' | 'delete' | 'expire' | 'reset'
  /** A change; of a reset `{"oldest": …}`. */
  readonly json: string
  /** A later watch goes on after this event. */
  readonly resumePoint: ResumePoint
}

const defaultSilenceMs = 45_000
/** The first pause after a connection is lost; the server may ask for another one (`retry:`). */
const firstPauseMs = 200
/** After a connection that lasted this long the pauses begin anew. */
const steadyMs = 5000

const eventTypes: ReadonlySet<string> = new Set(['put', 'delete', 'expire', 'reset'])

/**
 * Changes as they happen, to be iterated over. When the connection is lost, or the server restarts, a new one goes on
 * after the last event that was handed out: none is missed, none comes twice. The watch ends when the iteration does,
 * and, without an error, when `signal` is aborted.
 *
 * It throws when the first connection cannot be made, and when the server refuses for a reason that waiting does not
 * mend: a wrong token, say.
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

  /** The `since` with which a later watch goes on here. Null until the server has said where a watch without one began. */
  get resumePoint(): ResumePoint | null {
    return this.#position.resumePoint
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
    // Not before the iteration begins: a watch that is never read leaves no listener behind.
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

/** Whether waiting may mend it. */
function mayPass(error: unknown): error is KvistError {
  if (error instanceof KvistHttpError) return error.status === 429 || error.status >= 500
  return error instanceof KvistError
}
