import { type Principal, unauthenticated } from '../auth/authenticate.ts'
import { monotonicMs } from '../runtime/clock.ts'
import { requestId } from './request-id.ts'
import type { Connection } from './wire/client-connection.ts'
import type { HttpRequest } from './wire/request.ts'

/** What all requests of a server share. */
export interface ServerClock {
  /** Milliseconds since 1970. */
  readonly now: () => number
}

/** What a handler gets beside the request: its principal, the time, and its connection. */
export class RequestContext {
  readonly request: HttpRequest
  readonly connection: Connection
  /** Set before the handler is called. */
  principal: Principal = unauthenticated
  /** How much of its time the request waited for something to happen, as its client wished. */
  waitedMs = 0
  /** Header lines of the response beside those of the handler: those of CORS. */
  extraHeaders = ''
  private readonly clock: ServerClock
  private readonly startedMs = monotonicMs()

  constructor(request: HttpRequest, connection: Connection, clock: ServerClock) {
    this.request = request
    this.connection = connection
    this.clock = clock
  }

  /** Milliseconds since 1970, by the server's clock. */
  now(): number {
    return this.clock.now()
  }

  /** Since the request was handed to its route. */
  elapsedMs(): number {
    return monotonicMs() - this.startedMs
  }

  /** The name of the request in the log. */
  requestId(): string {
    return requestId(this.request)
  }
}
