import { KvistError, KvistHttpError, KvistTimeoutError, KvistUnreachableError, refusal } from './errors.ts'
import { mayRepeat, pause, pauseMs, type Repeat } from './retry.ts'

/** Requests: time limits, aborts, and trying again. */

/** What every call takes. */
export interface CallOptions {
  /** Ends the call: it rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined
  /** In place of that of the client. */
  readonly timeoutMs?: number | undefined
  /** In place of those of the client. */
  readonly retries?: number | undefined
}

export interface Call {
  readonly method: string
  /** With its query. */
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: Uint8Array | string
  readonly repeat: Repeat
  /** Statuses that are answers, beside those of success. */
  readonly also?: readonly number[]
  /** Beyond the time of a call: the server was asked to take it. */
  readonly moreMs?: number
  readonly options: CallOptions | undefined
}

export type Fetch = (url: string, init: RequestInit) => Promise<Response>

/** An answer whose body is read as it comes. */
export interface Opened {
  readonly response: Response
  /** Who stops reading ends the request. */
  readonly chunks: AsyncGenerator<Uint8Array, void, void>
  /** Ends the request, for one who does not read. */
  close(): void
}

export class Transport {
  /** Without a slash at its end. */
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

  /** Sends a request, and what `read` makes of the answer is within its time; throws unless that is a success. */
  send<R>(call: Call, read: (response: Response) => R | Promise<R>): Promise<R> {
    return this.#repeatedly(call, async () => {
      const { response, patience } = await this.#attempt(call)
      try {
        return await read(response)
      } catch (error) {
        throw patience.explain(error)
      } finally {
        patience.end()
      }
    })
  }

  /** As `send`, of a body that is read part by part; each part may take the time of a call, or as long as `silenceMs`. */
  open(call: Call, silenceMs = call.options?.timeoutMs ?? this.#timeoutMs): Promise<Opened> {
    return this.#repeatedly(call, async () => {
      const { response, patience } = await this.#attempt(call)
      patience.rest()
      return {
        response,
        chunks: readChunks(response, patience, silenceMs),
        close() {
          patience.end()
          response.body?.cancel().catch(() => {})
        },
      }
    })
  }

  /** The body of an answer to `send`. Its shape is not looked at: the API promises it. */
  readonly json = async <Shape>(response: Response): Promise<Shape> => {
    try {
      return (await response.json()) as Shape
    } catch (cause) {
      if (!(cause instanceof SyntaxError)) throw cause
      throw this.notKvist(response)
    }
  }

  notKvist(response: Response): KvistHttpError {
    return new KvistHttpError(response.status, `${this.url} does not answer as kvist does`, null, null)
  }

  async #repeatedly<R>(call: Call, attempt: () => Promise<R>): Promise<R> {
    const retries = call.options?.retries ?? this.#retries
    for (let failures = 0; ; failures++) {
      try {
        return await attempt()
      } catch (error) {
        if (!(error instanceof KvistError) || failures >= retries || !mayRepeat(error, call.repeat))
          throw error
        await pause(pauseMs(failures, error), call.options?.signal)
      }
    }
  }

  async #attempt(call: Call): Promise<{ response: Response; patience: Patience }> {
    const patience = new Patience(this.url, call.options?.signal)
    const timeoutMs = call.options?.timeoutMs ?? this.#timeoutMs
    patience.start(timeoutMs === 0 ? 0 : timeoutMs + (call.moreMs ?? 0))
    try {
      const response = await this.#fetch(this.url + call.path, {
        method: call.method,
        headers: { ...this.#headers, ...call.headers },
        signal: patience.signal,
        cache: 'no-store', // without a word on caching in the answer, browsers guess how long it keeps
        ...bodyOf(call),
      })
      if (response.ok || call.also?.includes(response.status)) return { response, patience }
      throw await refusal(response)
    } catch (error) {
      patience.end()
      throw patience.explain(error)
    }
  }
}

export interface Limits {
  readonly timeoutMs: number
  readonly retries: number
}

/** Ends a request when its caller has had enough or when its time is over. */
class Patience {
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

  /** From now on; 0 is without end. */
  start(timeoutMs: number): void {
    this.rest()
    if (timeoutMs === 0) return
    const error = new KvistTimeoutError(this.#url, timeoutMs)
    this.#timer = setTimeout(() => this.#controller.abort(error), Math.min(timeoutMs, longestTimerMs))
  }

  /** Nobody waits for the server just now. */
  rest(): void {
    clearTimeout(this.#timer)
  }

  end(): void {
    this.rest()
    this.#outer?.removeEventListener('abort', this.#abort)
  }

  /** What is to be thrown in place of what came out of `fetch` or of a body. */
  explain(error: unknown): unknown {
    if (this.signal.aborted) return this.signal.reason
    return error instanceof KvistError ? error : new KvistUnreachableError(this.#url, error)
  }
}

const longestTimerMs = 2 ** 31 - 1

async function* readChunks(
  response: Response,
  patience: Patience,
  silenceMs: number,
): AsyncGenerator<Uint8Array, void, void> {
  const reader = response.body?.getReader() // not every browser can iterate over a stream
  try {
    for (;;) {
      patience.start(silenceMs)
      const part = await reader?.read()
      patience.rest()
      if (part === undefined || part.done) return
      yield part.value
    }
  } catch (error) {
    throw patience.explain(error)
  } finally {
    patience.end()
    reader?.cancel().catch(() => {})
  }
}

/**
 * Deno sends a request again by itself when it used a connection that turns out to be closed, also one that may have
 * been done; not so one whose body is a stream, which it has no second copy of.
 */
function bodyOf({ body, repeat }: Call): RequestInit {
  if (body === undefined) return {}
  const plain = typeof body === 'string' || isPlain(body) ? body : new Uint8Array(body)
  if (repeat === 'freely' || !('Deno' in globalThis)) return { body: plain }
  const stream = new Blob([plain]).stream()
  return { body: stream, duplex: 'half' } as RequestInit // newer than TypeScript's library
}

function isPlain(bytes: Uint8Array): bytes is Uint8Array<ArrayBuffer> {
  return bytes.buffer instanceof ArrayBuffer
}
