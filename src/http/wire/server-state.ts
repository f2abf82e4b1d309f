import type { SecondClock } from '../../net/connections.ts'
import type { TickScheduler } from '../../net/tick.ts'
import type { Connection } from './client-connection.ts'
import type { Refusal } from './head.ts'
import type { HttpRequest } from './request.ts'
import type { ServerMemory } from './request-memory.ts'
import type { HttpResponse } from './response.ts'
import type { StartLines } from './writing.ts'

/** State shared by the connections of a server. */
export interface HttpServerState {
  /** A client that keeps the server waiting longer is disconnected. */
  readonly timeoutSeconds: number
  readonly clock: SecondClock
  readonly ticks: TickScheduler
  readonly startLines: StartLines
  readonly memory: ServerMemory
  isStopping: boolean
  /** The number of requests whose response is not complete yet. */
  openRequests: number
  /** Sends the connection one response, at once or later. Must not throw. */
  readonly serve: (request: HttpRequest, connection: Responding) => void
  /** Returns the response to a request that cannot be parsed. */
  readonly refuse: (refusal: Refusal) => HttpResponse
  /** Called when a client speaks TLS to this port, which has none. */
  readonly onTlsClient: (address: string) => void
  readonly reportError: (error: unknown, request: HttpRequest) => void
}

/** The connection of a request that has no response yet. */
export interface Responding extends Connection {
  /** Sends the response, with `moreHeaders` after its own header lines. */
  reply(response: HttpResponse, moreHeaders?: string): void
}
