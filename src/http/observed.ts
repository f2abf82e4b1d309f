import type { MaybePromise } from '../core/engine.ts'
import type { Answer } from './answer.ts'
import { withExtraLines } from './origin-policy.ts'
import type { Connection, Route } from './route.ts'
import type { HttpRequest } from './wire/request.ts'

/** What a route does with a request. */
export interface Handler {
  /** Gives the connection one answer, now or later. */
  readonly serve: (request: HttpRequest, connection: Replying) => void
  /** See `Route.foresee`. */
  readonly foresee: Route['foresee'] | null
}

interface Replying extends Connection {
  reply(answer: Answer): void
}

/**
 * Hears of an answer with the time that it took; of one that streams, to its beginning; of one that waited for
 * something to happen, without that. Must be quick: it is a part of every request.
 */
export type Observer = (request: HttpRequest, status: number, seconds: number, connection: Connection) => void

/** Who hears of a route's answers; null stands for requests that no route takes. */
export type Observe = (route: Route | null) => Observer

const waits = new WeakMap<HttpRequest, number>()

/** Tells that of the time that an answer took, so much was nothing but waiting, as the client wished. */
export function waited(request: HttpRequest, ms: number): void {
  waits.set(request, ms)
}

/**
 * A handler with somebody who hears of its answers; `recover` makes an answer of what it throws or rejects with. The
 * connection is given the answer, at once where there is one.
 */
export function observed(
  handle: Route['handle'],
  observer: Observer,
  recover: (error: unknown, request: HttpRequest) => Answer,
): Handler['serve'] {
  return (request, connection) => {
    const startedMs = performance.now()
    let answer: MaybePromise<Answer>
    try {
      answer = handle(request, connection)
    } catch (error) {
      answer = recover(error, request)
    }
    if (answer instanceof Promise) {
      const tell = (late: Answer) => {
        const tookMs = performance.now() - startedMs - (waits.get(request) ?? 0)
        observer(request, late.status, tookMs / 1000, connection)
        connection.reply(withExtraLines(late, request))
      }
      answer.then(tell, (error) => tell(recover(error, request)))
    } else {
      observer(request, answer.status, (performance.now() - startedMs) / 1000, connection)
      connection.reply(withExtraLines(answer, request))
    }
  }
}
