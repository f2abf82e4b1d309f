/** What a protocol needs of the socket of a client. Bun's sockets have it, with TLS and without. */
export interface Socket {
  readonly remoteAddress: string
  /** Sends as much as the socket has room for and returns how many bytes that was; less than 0 when it is closed. */
  write(part: string | Uint8Array): number
  /** Closes our side; the client can still send. */
  shutdown(): void
  /** Closes the socket in order: what was written is still delivered. */
  end(): unknown
  /** Closes the socket at once. */
  terminate(): void
  /** Stops reading, so that the client has to wait. */
  pause(): void
  resume(): void
}
