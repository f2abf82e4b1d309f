import type { MaybePromise } from '../core/engine.ts'
import { KvistError } from '../core/errors.ts'
import type { RequestContext } from '../http/context.ts'
import { forwardedResponse, forwardedTarget, release } from '../http/forward.ts'
import { memberOf } from '../http/path.ts'
import { responseOf } from '../http/response.ts'
import type { HttpRequest } from '../http/wire/request.ts'
import type { HttpResponse } from '../http/wire/response.ts'
import { memberId, type ResponseCache } from './cache.ts'
import type { CacheCounts } from './counts.ts'
import type { FeedFollower } from './follower.ts'
import type { Gateway } from './gateway.ts'
import type { Held } from './held.ts'
import { knows, readRequest } from './read-request.ts'

export interface MemberReadOptions {
  readonly cache: ResponseCache
  readonly follower: FeedFollower
  readonly gateway: Gateway
  readonly counts: CacheCounts
  readonly monotonicMs: () => number
}

/** Responds to GET and HEAD of a member: from memory, or with what the origin says, or with what is held while it says nothing. */
export class MemberReads {
  private readonly options: MemberReadOptions

  constructor(options: MemberReadOptions) {
    this.options = options
  }

  readonly handle = (request: HttpRequest, context: RequestContext): MaybePromise<HttpResponse> => {
    const { cache, counts, follower, gateway, monotonicMs } = this.options
    const read = readRequest(request)
    if (read.via !== null) gateway.refuseLoop(request)
    const member = memberNamed(request)
    if (member === null || request.query !== null) return gateway.pass(context, member)
    if (!read.mayBeHeld && !follower.isDown) return gateway.pass(context, member)
    const nowMs = monotonicMs()
    const hit = cache.hit(member, read.authorization, nowMs)
    if (hit !== undefined) {
      counts.hits++
      return this.respond(hit, context, nowMs, 'hit')
    }
    if (follower.isDown) return this.respondStale(member, context, nowMs)
    return request.method === 'HEAD' ? gateway.pass(context, member) : this.load(member, context)
  }

  private async load(member: string, context: RequestContext): Promise<HttpResponse> {
    const { cache, counts, gateway, monotonicMs } = this.options
    const { request } = context
    const { isShared, result } = cache.load(
      member,
      forwardedTarget(request),
      readRequest(request).authorization,
    )
    if (isShared) counts.collapsed++
    else counts.misses++
    let loaded: Awaited<typeof result>
    try {
      loaded = await result
    } catch {
      return this.respondStale(member, context, monotonicMs())
    }
    if ('held' in loaded) {
      const { held, forwardStatus } = loaded
      if (forwardStatus === 304 && !isShared) counts.revalidated++
      const how = `fwd=${forwardStatus === 304 ? 'stale' : 'uri-miss'}; fwd-status=${forwardStatus}`
      return this.respond(held, context, monotonicMs(), isShared ? `${how}; collapsed` : how)
    }
    const { response } = loaded
    if (response.status >= 500) {
      const stale = cache.stale(member, readRequest(request).authorization, monotonicMs())
      if (stale !== undefined) {
        if (!isShared) release(response)
        return this.respondStale(member, context, monotonicMs())
      }
    }
    if (isShared) return gateway.pass(context, member)
    const how = `fwd=uri-miss; fwd-status=${response.status}`
    return forwardedResponse(response, context, gateway.lines(response, how))
  }

  /** Responds with what is held although the origin cannot be asked (RFC 9111, 4.2.4, and RFC 5861). */
  private respondStale(member: string, context: RequestContext, nowMs: number): MaybePromise<HttpResponse> {
    const { cache, counts, gateway } = this.options
    const { authorization, mayBeHeld } = readRequest(context.request)
    const held = mayBeHeld ? cache.stale(member, authorization, nowMs) : undefined
    if (held === undefined) return gateway.unavailable()
    counts.stale++
    const ageSeconds = Math.max(1, Math.ceil(cache.ageMs(held, nowMs) / 1000))
    return this.respond(held, context, nowMs, `hit; ttl=-${ageSeconds}; detail="no origin responds"`)
  }

  private respond(
    held: Held,
    context: RequestContext,
    nowMs: number,
    how: string,
  ): MaybePromise<HttpResponse> {
    const { request, connection } = context
    const ageSeconds = Math.floor(this.options.cache.ageMs(held, nowMs) / 1000)
    if (readRequest(request).hasTags && knows(request, held.etag))
      return this.notModified(held, ageSeconds, how)
    const lines = () => `Age: ${ageSeconds}\r\n${this.options.gateway.lines(null, how)}`
    const response = held.response(`${ageSeconds} ${how}`, lines)
    const waits = request.method === 'HEAD' ? undefined : held.account(connection)
    return waits === undefined ? response : waits.then(() => response)
  }

  private notModified(held: Held, ageSeconds: number, how: string): HttpResponse {
    const lines = `Age: ${ageSeconds}\r\n${this.options.gateway.lines(null, how)}`
    const { headerBlock } = held.status === 200 ? held : responseOf(304, { ETag: held.etag, Vary: 'Accept' })
    return { status: 304, headerBlock: headerBlock + lines, body: null }
  }
}

/** Returns the name of the request's member; null if the path names none, as the origin will say. */
export function memberNamed(request: HttpRequest): string | null {
  try {
    const { collection, key } = memberOf(request)
    return memberId(collection, key)
  } catch (error) {
    if (error instanceof KvistError) return null
    throw error
  }
}
