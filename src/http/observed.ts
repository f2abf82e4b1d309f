import type { Maybe } from '../core/engine.ts'
import type { Route, RoutedRequest } from './route.ts'

/** As Bun calls it. */
export type Handler<R extends Request = RoutedRequest> = (
  request: R,
  server: Bun.Server<undefined>,
) => Maybe<Response>

/**
 * Hears of an answer with the time that it took; of one that streams, to its beginning; of one that waited for
 * something to happen, without that. Must be quick: it is a part of every request.
 */
export type Observer = (
  request: Request,
  status: number,
  seconds: number,
  server: Bun.Server<undefined>,
) => void

/** Who hears of a route's answers; null stands for requests that no route takes. */
export type Observe = (route: Route | null) => Observer

const waits = new WeakMap<Request, number>()

/** Tells that of the time that an answer took, so much was nothing but waiting, as the client wished. */
export function waited(request: Request, ms: number): void {
  waits.set(request, ms)
}

/**
 * The same handler, with somebody who hears of its answers; `recover` makes an answer of what it throws or rejects
 * with.
 */
export function observed<R extends Request>(
  handler: Handler<R>,
  observer: Observer,
  recover: (error: unknown, request: R) => Response,
): Handler<R> {
  return (request, server) => {
    const startedMs = performance.now()
    let answer: Maybe<Response>
    try {
      answer = handler(request, server)
    } catch (error) {
      answer = recover(error, request)
    }
    if (answer instanceof Promise) {
      const tell = (response: Response) => {
        const tookMs = performance.now() - startedMs - (waits.get(request) ?? 0)
        observer(request, response.status, tookMs / 1000, server)
        return response
      }
      return answer.then(tell, (error) => tell(recover(error, request)))
    }
    observer(request, answer.status, (performance.now() - startedMs) / 1000, server)
    return answer
  }
}
