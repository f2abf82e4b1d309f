import type { MaybePromise } from '../core/engine.ts'
import type { Answer } from './answer.ts'
import { RequestContext, type ServerClock } from './context.ts'
import { withExtraLines } from './origin-policy.ts'
import type { Connection, Route } from './route.ts'
import type { HttpRequest } from './wire/request.ts'

/**
 * Called with each response and the time that it took: of one that streams, up to its beginning; without the time that its
 * request waited for something to happen. Must be quick, for it is a part of every request.
 */
export type Observer = (context: RequestContext, status: number, seconds: number) => void

/** The observer of a route's responses; null stands for requests that no route takes. */
export type Observe = (route: Route | null) => Observer

/** What a route does with a request. */
export interface Handler {
  /** Gives the connection one response, at once or later. */
  readonly serve: (request: HttpRequest, connection: Responder) => void
  /** See `Route.foresee`. */
  readonly foresee: Route['foresee'] | null
}

interface Responder extends Connection {
  reply(response: Answer): void
}

/** A route's handler with its observer. What the handler throws or rejects with becomes a response by `recover`. */
export function instrumented(
  handle: Route['handle'],
  observer: Observer,
  recover: (error: unknown, context: RequestContext) => Answer,
  clock: ServerClock,
): Handler['serve'] {
  function finish(context: RequestContext, connection: Responder, response: Answer): void {
    observer(context, response.status, (context.elapsedMs() - context.waitedMs) / 1000)
    connection.reply(withExtraLines(response, context))
  }
  return (request, connection) => {
    const context = new RequestContext(request, connection, clock)
    let response: MaybePromise<Answer>
    try {
      response = handle(request, context)
    } catch (error) {
      response = recover(error, context)
    }
    if (response instanceof Promise) {
      response.then(
        (late) => finish(context, connection, late),
        (error) => finish(context, connection, recover(error, context)),
      )
    } else {
      finish(context, connection, response)
    }
  }
}
