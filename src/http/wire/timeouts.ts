import { lingerSeconds, type SecondClock } from '../../net/connections.ts'

/**
 * A half-closed client to which nothing was streamed for this long is taken to be gone: only sending shows whether it
 * is still there.
 */
const halfClosedSeconds = 2

const never = Number.POSITIVE_INFINITY

/** The timeout of one connection: how long the server waits for its client. */
export class ConnectionTimeouts {
  private readonly clock: SecondClock
  private readonly timeoutSeconds: number
  /** The second after which the client has timed out. */
  private deadline: number
  /** The second in which a part of a streamed response was last sent. */
  private sentAt = 0

  constructor(clock: SecondClock, timeoutSeconds: number) {
    this.clock = clock
    this.timeoutSeconds = timeoutSeconds
    this.deadline = clock.seconds + timeoutSeconds
  }

  /** Restarts the timeout, and enables it when it was disabled. */
  reset(): void {
    this.deadline = this.clock.seconds + this.timeoutSeconds
  }

  /** Restarts the timeout unless it is disabled. */
  extend(): void {
    if (this.deadline !== never) this.reset()
  }

  disable(): void {
    this.deadline = never
  }

  get isDisabled(): boolean {
    return this.deadline === never
  }

  /** Starts the short timeout of a client that has only to close. */
  linger(): void {
    this.deadline = this.clock.seconds + lingerSeconds
  }

  partSent(): void {
    this.sentAt = this.clock.seconds
  }

  get isExceeded(): boolean {
    return this.clock.seconds > this.deadline
  }

  /** Whether nothing was streamed for so long that a half-closed client may be gone. */
  get isStreamSilent(): boolean {
    return this.clock.seconds > this.sentAt + halfClosedSeconds
  }

  get lastActive(): number {
    return this.deadline - this.timeoutSeconds
  }
}
