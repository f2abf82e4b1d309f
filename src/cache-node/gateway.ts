import { KvistError } from '../core/errors.ts'
import type { RequestContext } from '../http/context.ts'
import { forwardedBody, forwardedHeaders, forwardedResponse, forwardedTarget } from '../http/forward.ts'
import { problemResponse } from '../http/problem.ts'
import type { HttpRequest } from '../http/wire/request.ts'
import type { HttpResponse } from '../http/wire/response.ts'
import type { ResponseCache } from './cache.ts'
import type { CacheCounts } from './counts.ts'
import type { FeedFollower } from './follower.ts'
import { wasNeverSent } from './origins.ts'
import { readRequest } from './read-request.ts'

export interface GatewayOptions {
  readonly cache: ResponseCache
  readonly follower: FeedFollower
  readonly counts: CacheCounts
  /** The name of this node in `Via`. */
  readonly name: string
  /** Requests that may be on their way at once: the runtime makes others wait, those for the feed among them. */
  readonly maxRequests: number
}

const readingMethods: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS'])
/** Paths whose `POST` reads: what is held stays as it is. */
const readingPaths: ReadonlySet<string> = new Set(['/v1/_read', '/v1/_query', '/v1/_lookup'])

/** Passes requests on to the origin, and tells the cache what they change. */
export class Gateway {
  private readonly options: GatewayOptions
  private open = 0
  /** Aborts the requests that have no response yet. */
  private readonly waiting = new Set<AbortController>()

  constructor(options: GatewayOptions) {
    this.options = options
  }

  /** The value of `Via` that this node adds. */
  get via(): string {
    return `1.1 ${this.options.name}`
  }

  /** Throws `loop_detected` if this node has passed the request on before. */
  refuseLoop(request: HttpRequest): void {
    const { via } = readRequest(request)
    if (via === null || !via.includes(this.options.name)) return
    throw new KvistError(
      'loop_detected',
      'this cache has passed the request on before: it is a cache of itself, perhaps by way of others',
    )
  }

  /** Passes a request on. `member` is the one that its path names, if any. */
  async pass(context: RequestContext, member: string | null): Promise<HttpResponse> {
    const { request, connection } = context
    const { counts, follower, maxRequests } = this.options
    this.refuseLoop(request)
    if (follower.isDown) return this.unavailable()
    if (this.open >= maxRequests) return busy()
    const isRead = readingMethods.has(request.method) || readingPaths.has(request.path)
    const stop = new AbortController()
    connection.onClose(() => stop.abort())
    this.waiting.add(stop)
    counts.passed++
    this.open++
    const end = once(() => this.open--)
    try {
      const response = await follower.origin.send(forwardedTarget(request), {
        method: request.method,
        headers: forwardedHeaders(request, this.via),
        body: forwardedBody(request),
        signal: stop.signal,
      })
      if (isRead) this.noteRead(request, member, response)
      else this.noteWrite(member, response.status)
      this.waiting.delete(stop)
      connection.onClose(null)
      const why = isRead ? 'bypass' : 'method'
      return endedBy(await forwardedResponse(response, context, this.lines(response, `fwd=${why}`)), end)
    } catch (error) {
      end()
      if (!isRead) this.noteWrite(member, 500)
      return this.failed(error, isRead)
    } finally {
      this.waiting.delete(stop)
      connection.onClose(null)
    }
  }

  /** Ends the requests that wait for a response, because no origin responds. */
  abortRequests(): void {
    for (const stop of this.waiting) stop.abort(new Error('no origin responds'))
  }

  /** Returns the header lines that this node adds to a response of the origin. */
  lines(response: Response | null, status: string): string {
    const before = response?.headers.get('via') ?? null
    return `Cache-Status: kvist; ${status}\r\nVia: ${before === null ? '' : `${before}, `}${this.via}\r\n`
  }

  unavailable(): HttpResponse {
    this.options.counts.unavailable++
    // Not thrown, because each would be an error of its own in the log.
    return problemResponse(
      new KvistError('unavailable', 'no origin of this cache responds; nothing was done'),
    )
  }

  private noteRead(request: HttpRequest, member: string | null, response: Response): void {
    const { authorization } = readRequest(request)
    if (response.status === 401 && authorization !== '') this.options.cache.refused(authorization)
    else if (member !== null) this.options.cache.seen(member, response)
  }

  /** Drops what a write may have changed, before its client has the response. */
  private noteWrite(member: string | null, status: number): void {
    if (status >= 400 && status < 500) return
    const { cache, follower } = this.options
    if (member === null) {
      follower.requireAnotherReading(status < 300)
      cache.closeLoads()
    } else {
      // Whatever its revision: an expiry can change without it.
      cache.memberChanged(member, Number.POSITIVE_INFINITY)
    }
  }

  private failed(error: unknown, isRead: boolean): HttpResponse {
    if (error instanceof KvistError || (error instanceof Error && error.name === 'AbortError')) throw error
    if (isRead || wasNeverSent(error)) return this.unavailable()
    return problemResponse(
      new KvistError('outcome_unknown', 'the origin ended the connection before it responded'),
    )
  }
}

function busy(): HttpResponse {
  return problemResponse(
    new KvistError('busy', 'as many requests as possible are on their way to the origin'),
  )
}

function once(run: () => void): () => void {
  let isDone = false
  return () => {
    if (isDone) return
    isDone = true
    run()
  }
}

/** Calls `end` when a response needs its origin no more. */
function endedBy(response: HttpResponse, end: () => void): HttpResponse {
  const { body } = response
  if (body === null || typeof body === 'string' || !('pull' in body)) {
    end()
    return response
  }
  return {
    ...response,
    body: {
      pull(to) {
        body.pull({
          write: (part) => to.write(part),
          end() {
            end()
            to.end()
          },
          abort(error) {
            end()
            to.abort(error)
          },
        })
      },
      cancel() {
        end()
        body.cancel()
      },
    },
  }
}
