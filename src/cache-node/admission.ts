import type { RequestContext } from '../http/context.ts'
import { forwardedResponse, release } from '../http/forward.ts'
import type { HttpResponse } from '../http/wire/response.ts'
import type { FeedFollower } from './follower.ts'
import type { Gateway } from './gateway.ts'

/** Clients that are remembered; there are few who look at metrics. */
const maxAdmitted = 100
const timeoutMs = 2000

/**
 * Decides who may see the pages of the cache node itself: those to whom the origin shows its own, and while no origin responds
 * those to whom it has shown them before.
 */
export class Admission {
  private readonly follower: FeedFollower
  private readonly gateway: Gateway
  private readonly admitted = new Set<string>()

  constructor(follower: FeedFollower, gateway: Gateway) {
    this.follower = follower
    this.gateway = gateway
  }

  /** Returns the response to a client that may not see them; null for one that may. */
  async refusal(context: RequestContext): Promise<HttpResponse | null> {
    const { gateway } = this
    gateway.refuseLoop(context.request)
    const authorization = context.request.header('authorization') ?? ''
    const response = this.follower.isDown ? null : await this.ask(authorization)
    if (response === null || response.status >= 500) {
      if (response !== null) release(response)
      return this.admitted.has(authorization) ? null : gateway.unavailable()
    }
    if (response.status !== 200) {
      this.admitted.delete(authorization)
      return forwardedResponse(response, context, gateway.lines(response, 'fwd=bypass'))
    }
    release(response)
    if (this.admitted.size >= maxAdmitted) this.admitted.clear()
    this.admitted.add(authorization)
    return null
  }

  private async ask(authorization: string): Promise<Response | null> {
    try {
      return await this.follower.origin.send('/v1/_nodes', {
        method: 'GET',
        headers: [
          ['via', this.gateway.via],
          ...(authorization === '' ? [] : [['authorization', authorization] as [string, string]]),
        ],
        signal: AbortSignal.timeout(timeoutMs),
      })
    } catch {
      return null
    }
  }
}
