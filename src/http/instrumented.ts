import type { MaybePromise } from '../core/engine.ts'
import type { Member } from '../core/member.ts'
import type { MemberReader, ReadQueue } from '../core/read-queue.ts'
import { RequestContext, type ServerClock } from './context.ts'
import { withExtraHeaders } from './origin-policy.ts'
import { type Handled, isMemberRead, type MemberRead, type Route } from './route.ts'
import type { HttpRequest } from './wire/request.ts'
import type { HttpResponse } from './wire/response.ts'
import type { Responding } from './wire/server-state.ts'

/**
 * Called with each response and the time it took: for a stream, until it began; without the time that the request
 * waited for a change. Must be fast, because it runs in every request.
 */
export type Observer = (context: RequestContext, status: number, seconds: number) => void

/** Returns the observer for the responses of a route; `route` is null for requests that match none. */
export type Observe = (route: Route | null) => Observer

/** Sends the connection one response to a request, at once or later. */
export type Serve = (request: HttpRequest, connection: Responding) => void

export interface ServeOptions extends ServerClock {
  /** Batches the reads of the requests of one tick; without it each member is read alone. */
  readonly reads?: ReadQueue
}

/**
 * Wraps a route's handler: reads the member that it needs, turns what it throws or rejects with into a response by
 * `recover`, and calls the observer.
 */
export function instrumented(
  handle: Route['handle'],
  observer: Observer,
  recover: (error: unknown, context: RequestContext) => HttpResponse,
  options: ServeOptions,
): Serve {
  const { reads } = options
  const outcome: Outcome = { observer, recover }
  return (request, connection) => {
    const context = new RequestContext(request, connection, options)
    let response: Handled
    try {
      response = handle(request, context)
    } catch (error) {
      response = recover(error, context)
    }
    if (isMemberRead(response)) {
      const cached = reads?.cached(response.ref)
      if (cached === undefined) {
        const pending = new PendingRead(outcome, context, connection, response)
        if (reads === undefined) pending.found([], 0, 0)
        else reads.addUncached(response.ref, pending)
        return
      }
      response = respondSafely(outcome, context, response, cached)
    }
    record(outcome, context, connection, response)
  }
}

function respondSafely(
  { recover }: Outcome,
  context: RequestContext,
  read: MemberRead,
  member: Member | null,
): MaybePromise<HttpResponse> {
  try {
    return read.respond(member)
  } catch (error) {
    return recover(error, context)
  }
}

interface Outcome {
  readonly observer: Observer
  readonly recover: (error: unknown, context: RequestContext) => HttpResponse
}

function record(
  outcome: Outcome,
  context: RequestContext,
  connection: Responding,
  response: MaybePromise<HttpResponse>,
): void {
  if (response instanceof Promise) {
    response.then(
      (late) => finish(outcome, context, connection, late),
      (error) => finish(outcome, context, connection, outcome.recover(error, context)),
    )
  } else {
    finish(outcome, context, connection, response)
  }
}

function finish(
  { observer }: Outcome,
  context: RequestContext,
  connection: Responding,
  response: HttpResponse,
): void {
  observer(context, response.status, (context.elapsedMs() - context.waitedMs) / 1000)
  connection.reply(withExtraHeaders(response, context), context.limitHeaders)
}

/** A request that waits for the member it needs. */
class PendingRead implements MemberReader {
  private readonly outcome: Outcome
  private readonly context: RequestContext
  private readonly connection: Responding
  private readonly read: MemberRead

  constructor(outcome: Outcome, context: RequestContext, connection: Responding, read: MemberRead) {
    this.outcome = outcome
    this.context = context
    this.connection = connection
    this.read = read
  }

  found(members: readonly (Member | null)[], from: number, count: number): void {
    let response: MaybePromise<HttpResponse>
    try {
      response = count === 1 ? this.read.respond(members[from]!) : this.read.readAlone()
    } catch (error) {
      response = this.outcome.recover(error, this.context)
    }
    record(this.outcome, this.context, this.connection, response)
  }
}
