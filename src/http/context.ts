import { type Principal, unauthenticated } from '../auth/principal.ts'
import { monotonicMs } from '../runtime/clock.ts'
import { requestId } from './request-id.ts'
import type { Connection } from './wire/client-connection.ts'
import type { HttpRequest } from './wire/request.ts'

/** The clock of a server. */
export interface ServerClock {
  /** Milliseconds since 1970. */
  readonly now: () => number
}

/** The context of one request: its principal, the time, and its connection. */
export class RequestContext {
  readonly request: HttpRequest
  readonly connection: Connection
  /** Set before the handler is called. */
  principal: Principal = unauthenticated
  /** The largest revision that the request has written; 0 for none. */
  revision = 0
  /** The code of the error that is the response; empty for none. */
  failure = ''
  /** Milliseconds that the request spent waiting for a change, as its client asked. */
  waitedMs = 0
  /** CORS header lines that are added to the response of the handler. */
  extraHeaders = ''
  /** Header lines on the rate limit of the client, which are added likewise. */
  limitHeaders = ''
  readonly clock: ServerClock
  private readonly startedMs = monotonicMs()

  constructor(request: HttpRequest, connection: Connection, clock: ServerClock) {
    this.request = request
    this.connection = connection
    this.clock = clock
  }

  /** Notes the revision of a write of this request; 0 for a write that had nothing to do. */
  wrote(revision: number): void {
    if (revision > this.revision) this.revision = revision
  }

  /** Milliseconds since 1970, by the server's clock. */
  now(): number {
    return this.clock.now()
  }

  /** Milliseconds since the request was passed to its route. */
  elapsedMs(): number {
    return monotonicMs() - this.startedMs
  }

  /** The id of the request in the log. */
  requestId(): string {
    return requestId(this.request)
  }
}
