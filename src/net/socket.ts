/** The socket of a client, as protocols use it. Bun's sockets implement it, with TLS and without. */
export interface Socket {
  readonly remoteAddress: string
  /**
   * Sends `length` bytes from `offset` on, by default all, as far as the socket has room. Returns how many bytes it
   * accepted; less than 0 when it is closed.
   */
  write(part: string | Uint8Array, offset?: number, length?: number): number
  /** Closes our side; the client can still send. */
  shutdown(): void
  /** Closes the socket in order: what was written is still delivered. */
  end(): unknown
  /** Closes the socket at once. */
  terminate(): void
  /** Stops reading, so that the client must wait. */
  pause(): void
  resume(): void
}

/** Events of a socket, for its connection. */
export interface SocketEvents {
  /** The client has sent bytes, which do not change afterwards. */
  receive(bytes: Buffer): void
  /** The socket has room again. */
  drained(): void
  /** The client has closed its side: it sends no more, and still reads. */
  halfClosed(): void
  /** The socket is closed. Called once, last. */
  closed(): void
}

/** Handles the events of a socket by doing nothing. */
export const ignoredEvents: SocketEvents = { receive() {}, drained() {}, halfClosed() {}, closed() {} }
