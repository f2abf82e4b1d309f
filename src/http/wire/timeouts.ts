import { lingerSeconds, type SecondClock } from '../../net/connections.ts'

/** How long nothing may be streamed to a client that has closed its side: only sending shows whether it is still there. */
const halfClosedSeconds = 2

const never = Number.POSITIVE_INFINITY

/** How long a connection waits for its client. */
export class ConnectionTimeouts {
  private readonly clock: SecondClock
  private readonly timeoutSeconds: number
  /** After this second the client has kept the server waiting for too long. */
  private deadline: number
  /** When a part of a streamed response was last sent. */
  private sentAt = 0

  constructor(clock: SecondClock, timeoutSeconds: number) {
    this.clock = clock
    this.timeoutSeconds = timeoutSeconds
    this.deadline = clock.seconds + timeoutSeconds
  }

  /** Gives the client its full time again, and switches a timeout on that was switched off. */
  reset(): void {
    this.deadline = this.clock.seconds + this.timeoutSeconds
  }

  /** As `reset`, unless the timeout is switched off. */
  extend(): void {
    if (this.deadline !== never) this.reset()
  }

  disable(): void {
    this.deadline = never
  }

  get isDisabled(): boolean {
    return this.deadline === never
  }

  /** All is sent: the client has only to close. */
  linger(): void {
    this.deadline = this.clock.seconds + lingerSeconds
  }

  partSent(): void {
    this.sentAt = this.clock.seconds
  }

  get isExceeded(): boolean {
    return this.clock.seconds > this.deadline
  }

  /** Nothing was streamed for so long that a client that has closed its side may be gone. */
  get isStreamSilent(): boolean {
    return this.clock.seconds > this.sentAt + halfClosedSeconds
  }

  get lastActive(): number {
    return this.deadline - this.timeoutSeconds
  }
}
