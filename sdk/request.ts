import { errorOf, KvistError, KvistHttpError, KvistTimeoutError, KvistUnreachableError } from './errors.ts'
import { mayRetry, pause, pauseMs, type Retry } from './retry.ts'

/** Sends requests, with time limits, aborts and retries. */

/** The options of every call. */
export interface CallOptions {
  /** Aborts the call, which then rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined
  /** Overrides that of the client. */
  readonly timeoutMs?: number | undefined
  /** Overrides that of the client. */
  readonly retries?: number | undefined
}

export interface Call {
  readonly method: string
  /** The path with its query. */
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: Uint8Array | string
  readonly retry: Retry
  /** Statuses beside those of success that are not errors. */
  readonly also?: readonly number[]
  /** Added to the time limit, because the server was asked to take this long. */
  readonly extraMs?: number
  readonly options: CallOptions | undefined
}

export type Fetch = (url: string, init: RequestInit) => Promise<Response>

/** A response whose body is streamed. */
export interface OpenedResponse {
  readonly response: Response
  /** The parts of the body. Ending the iteration aborts the request. */
  readonly chunks: AsyncGenerator<Uint8Array, void, void>
  /** Aborts a request whose chunks are not read. */
  close(): void
}

export class Transport {
  /** The URL without a trailing slash. */
  readonly url: string
  readonly #headers: Readonly<Record<string, string>>
  readonly #fetch: Fetch
  readonly #timeoutMs: number
  readonly #retries: number

  constructor(url: string, headers: Readonly<Record<string, string>>, fetch: Fetch, limits: Limits) {
    this.url = url
    this.#headers = headers
    this.#fetch = fetch
    this.#timeoutMs = limits.timeoutMs
    this.#retries = limits.retries
  }

  /**
   * Sends a request and returns the result of `read` on its response, within the time limit. Throws unless the response
   * is a success.
   */
  send<R>(call: Call, read: (response: Response) => R | Promise<R>): Promise<R> {
    return this.#withRetries(call, async () => {
      const { response, deadline } = await this.#attempt(call)
      try {
        return await read(response)
      } catch (error) {
        throw deadline.explain(error)
      } finally {
        deadline.release()
      }
    })
  }

  /**
   * Sends a request and returns a response whose body is streamed. The time limit, or `silenceMs`, applies to each
   * part.
   */
  open(call: Call, silenceMs = call.options?.timeoutMs ?? this.#timeoutMs): Promise<OpenedResponse> {
    return this.#withRetries(call, async () => {
      const { response, deadline } = await this.#attempt(call)
      deadline.stop()
      return {
        response,
        chunks: readChunks(response, deadline, silenceMs),
        close() {
          deadline.release()
          response.body?.cancel().catch(() => {})
        },
      }
    })
  }

  /** Parses the body of a response; its shape is not checked, because the API guarantees it. */
  readonly json = async <Shape>(response: Response): Promise<Shape> => {
    try {
      return (await response.json()) as Shape
    } catch (cause) {
      if (!(cause instanceof SyntaxError)) throw cause
      throw this.notKvist(response)
    }
  }

  notKvist(response: Response): KvistHttpError {
    return new KvistHttpError(response.status, `what responds at ${this.url} is not kvist`, null, null)
  }

  async #withRetries<R>(call: Call, attempt: () => Promise<R>): Promise<R> {
    const retries = call.options?.retries ?? this.#retries
    for (let failures = 0; ; failures++) {
      try {
        return await attempt()
      } catch (error) {
        if (!(error instanceof KvistError) || failures >= retries || !mayRetry(error, call.retry)) throw error
        await pause(pauseMs(failures, error), call.options?.signal)
      }
    }
  }

  async #attempt(call: Call): Promise<{ response: Response; deadline: Deadline }> {
    const deadline = new Deadline(this.url, call.options?.signal)
    const timeoutMs = call.options?.timeoutMs ?? this.#timeoutMs
    deadline.start(timeoutMs === 0 ? 0 : timeoutMs + (call.extraMs ?? 0))
    try {
      const response = await this.#response(call, deadline.signal)
      if (response.ok || call.also?.includes(response.status)) return { response, deadline }
      throw await errorOf(response, { url: this.url, hasToken: 'authorization' in this.#headers })
    } catch (error) {
      deadline.release()
      throw deadline.explain(error)
    }
  }

  /** Returns the response of the server or, to a write, of the leader to which a follower sends it. */
  async #response(call: Call, signal: AbortSignal): Promise<Response> {
    const isRead = call.method === 'GET' || call.method === 'HEAD'
    if (isRead) return this.#fetchFrom(this.url, call, signal, 'follow')
    let base = this.url
    for (let hops = 0; ; hops++) {
      const response = await this.#fetchFrom(base, call, signal, 'manual')
      const leader = leaderIn(response)
      if (leader === null) {
        return isRedirect(response) ? this.#fetchFrom(base, call, signal, 'follow') : response
      }
      if (hops === maxHops)
        throw new KvistError('not_leader', `${this.url} and others send writes in circles`)
      if ('authorization' in this.#headers && base.startsWith('https:') && !leader.startsWith('https:'))
        throw new KvistError('not_leader', `the token is not sent to ${leader}, which has no TLS`)
      response.body?.cancel().catch(() => {})
      base = leader
    }
  }

  #fetchFrom(
    base: string,
    call: Call,
    signal: AbortSignal,
    redirect: 'follow' | 'manual',
  ): Promise<Response> {
    return this.#fetch(base + call.path, {
      method: call.method,
      headers: { ...this.#headers, ...call.headers },
      signal,
      redirect,
      cache: 'no-store', // a browser's cache may hold a stale value
      ...bodyOf(call),
    })
  }
}

export interface Limits {
  readonly timeoutMs: number
  readonly retries: number
}

/** Aborts a request when its caller does, or when the server takes too long. */
class Deadline {
  readonly #url: string
  readonly #controller = new AbortController()
  readonly #outer: AbortSignal | undefined
  #timer: ReturnType<typeof setTimeout> | undefined
  readonly #abort = () => this.#controller.abort(this.#outer?.reason)

  constructor(url: string, outer: AbortSignal | undefined) {
    outer?.throwIfAborted()
    this.#url = url
    this.#outer = outer
    outer?.addEventListener('abort', this.#abort, { once: true })
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  /** Starts the time limit; 0 is without a limit. */
  start(timeoutMs: number): void {
    this.stop()
    if (timeoutMs === 0) return
    const error = new KvistTimeoutError(this.#url, timeoutMs)
    this.#timer = setTimeout(() => this.#controller.abort(error), Math.min(timeoutMs, longestTimerMs))
  }

  /** Stops the time limit until the next `start`. */
  stop(): void {
    clearTimeout(this.#timer)
  }

  /** Clears the timer and removes the listener from the caller's signal. */
  release(): void {
    this.stop()
    this.#outer?.removeEventListener('abort', this.#abort)
  }

  /** Returns the error to throw for an error of `fetch` or of reading a body. */
  explain(error: unknown): unknown {
    if (this.signal.aborted) return this.signal.reason
    return error instanceof KvistError ? error : new KvistUnreachableError(this.#url, error)
  }
}

const longestTimerMs = 2 ** 31 - 1

/** A follower of a follower sends on once more. */
const maxHops = 3

/**
 * Returns the URL of the leader to which a follower redirects; null for other responses. Only kvist sends this header, so
 * a proxy that redirects to a page for logins does not get the token, which `fetch` would take away.
 */
function leaderIn(response: Response): string | null {
  if (response.type === 'opaqueredirect') {
    throw new KvistError('not_leader', 'the server sends writes to another one: a page has to use that one')
  }
  const leader = response.status === 307 ? response.headers.get('kvist-leader') : null
  return leader !== null && response.headers.get('location')?.startsWith(`${leader}/`) ? leader : null
}

function isRedirect({ status }: Response): boolean {
  return status >= 300 && status < 400 && status !== 304
}

async function* readChunks(
  response: Response,
  deadline: Deadline,
  silenceMs: number,
): AsyncGenerator<Uint8Array, void, void> {
  const reader = response.body?.getReader() // not every browser can iterate over a stream
  try {
    for (;;) {
      deadline.start(silenceMs)
      const part = await reader?.read()
      deadline.stop()
      if (part === undefined || part.done) return
      yield part.value
    }
  } catch (error) {
    throw deadline.explain(error)
  } finally {
    deadline.release()
    reader?.cancel().catch(() => {})
  }
}

/**
 * Returns the body for `fetch`. Deno repeats a request on its own if its connection turns out to be closed, even one
 * that may have been done. It cannot repeat a body that is a stream.
 */
function bodyOf({ body, retry }: Call): RequestInit {
  if (body === undefined) return {}
  const plain = typeof body === 'string' || isPlain(body) ? body : new Uint8Array(body)
  if (retry === 'idempotent' || !('Deno' in globalThis)) return { body: plain }
  const stream = new Blob([plain]).stream()
  return { body: stream, duplex: 'half' } as RequestInit // newer than TypeScript's library
}

function isPlain(bytes: Uint8Array): bytes is Uint8Array<ArrayBuffer> {
  return bytes.buffer instanceof ArrayBuffer
}
