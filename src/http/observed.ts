import type { Maybe } from '../core/engine.ts'
import type { Answer } from './answer.ts'
import type { Connection, Route } from './route.ts'
import type { HttpRequest } from './wire/request.ts'

type Handler = (request: HttpRequest, connection: Connection) => Maybe<Answer>

/** Gives the connection one answer, now or later. */
export type Serve = (request: HttpRequest, connection: Replying) => void

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
  handler: Handler,
  observer: Observer,
  recover: (error: unknown, request: HttpRequest) => Answer,
): Serve {
  return (request, connection) => {
    const startedMs = performance.now()
    let answer: Maybe<Answer>
    try {
      answer = handler(request, connection)
    } catch (error) {
      answer = recover(error, request)
    }
    if (answer instanceof Promise) {
      const tell = (late: Answer) => {
        const tookMs = performance.now() - startedMs - (waits.get(request) ?? 0)
        observer(request, late.status, tookMs / 1000, connection)
        connection.reply(late)
      }
      answer.then(tell, (error) => tell(recover(error, request)))
    } else {
      observer(request, answer.status, (performance.now() - startedMs) / 1000, connection)
      connection.reply(answer)
    }
  }
}
