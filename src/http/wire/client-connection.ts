import type { Share } from '../../net/budget.ts'
import type { MemoryShare, ServerMemory } from './request-memory.ts'

/** A body of up to so many bytes waits for the end of the tick, and must not change before; a larger one is sent at once. */
export { maxWaitingBytes } from '../../net/output.ts'

/** The connection of a request, as its handler sees it. */
export interface Connection {
  /** The address of the client. */
  readonly remoteAddress: string
  /** The network that stands for the client where its requests are counted (net/address.ts). */
  readonly network: string
  /** The subject of its verified TLS certificate, as RFC 2253 writes it: `CN=app,O=Acme`; null without one. */
  readonly clientSubject: string | null
  /** The sender of the last request, as the server knows it. */
  identity: object | null
  /** Restarts the client's timeout: the client has sent something, or is sent another part of a long response. */
  resetTimeout(): void
  /** Disables the timeout, for responses that wait for an event. The next response enables it again. */
  disableTimeout(): void
  /** Closes the socket at once and drops unsent output. */
  abort(): void
  /** Logs an error that occurred after the response had begun; the client only sees the response end early. */
  reportError(error: unknown): void
  /** Sets the listener called when the client disconnects before it has its response; null removes it. */
  onClose(listener: (() => void) | null): void
  /** Memory budgets for large values, pages and bodies: see `hold` and `grow`. */
  readonly memory: ServerMemory
  /** Releases a share of that memory when the response is sent or given up. */
  hold(share: MemoryShare): void
  /**
   * Makes a share larger. Waits while the budget has no room; returns undefined when it need not wait. Rejects with an
   * AbortError when the client disconnects.
   */
  grow(share: Share, bytes: number): Promise<void> | undefined
  /** Registers a long-lived response. Throws `closing` when the server is stopping. */
  register(response: LongLivedResponse): void
  /** Removes a long-lived response that has ended. */
  unregister(response: LongLivedResponse): void
}

/** A response that does not end by itself, such as a stream of events: the server ends it when it stops. */
export interface LongLivedResponse {
  /** Ends the response, and unregisters it once the client has read all of it. */
  end(): void
}
