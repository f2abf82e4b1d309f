import type { Share } from '../../net/budget.ts'
import type { MemoryShare, ServerMemory } from './request-memory.ts'

/** What a handler can ask of the connection that its request came on. */
export interface Connection {
  /** The address of the client. */
  readonly remoteAddress: string
  /** Gives the client its full time again: it has sent something, or is sent another part of a long response. */
  resetTimeout(): void
  /** Switches the timeout off, for responses that wait until something happens. The next response switches it on again. */
  disableTimeout(): void
  /** Closes the socket at once, whatever is unsent. */
  abort(): void
  /** Logs an error that occurred after the response had begun; the client only sees that the response is cut off. */
  reportError(error: unknown): void
  /** Sets what is called when the client disconnects before it has its response; null removes it. */
  onClose(listener: (() => void) | null): void
  /** Memory for what is large: see `hold` and `grow`. */
  readonly memory: ServerMemory
  /** Releases a part of that memory when the response is sent, or will not be. */
  hold(share: MemoryShare): void
  /** Makes a share larger, which waits where there is no room. Rejects with an AbortError when the client disconnects. */
  grow(share: Share, bytes: number): Promise<void> | undefined
  /** Adds a response that may last as long as the server. Throws `closing` when the server is stopping. */
  register(response: LongLivedResponse): void
  /** Removes a long-lived response that has ended. */
  unregister(response: LongLivedResponse): void
}

/** A response without an end of its own, such as a stream of events: the server ends it when it stops. */
export interface LongLivedResponse {
  /** Ends the response, and unregisters it once the client has taken all of it. */
  end(): void
}
