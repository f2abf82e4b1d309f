import type { MemoryBudget, Share } from '../../net/budget.ts'

/** The memory budgets of a server. */
export interface ServerMemory {
  /** For large values in responses. */
  readonly values: MemoryBudget
  /** For pages of lists and of the feed in responses. */
  readonly pages: MemoryBudget
  /** For bodies of requests. */
  readonly bodies: MemoryBudget
}

/** Memory that a connection holds for its client. */
export interface MemoryShare {
  readonly bytes: number
  release(): void
}

/**
 * While requests wait for memory, a client that holds some and moves less than `leastMovedBytes` in `windowSeconds` is
 * disconnected, as it could otherwise hold that memory forever.
 */
const leastMovedBytes = 64 * 1024
const windowSeconds = 10

/** The memory that a request and its response hold. */
export class RequestMemory {
  private readonly budgets: ServerMemory
  private held: MemoryShare[] = []
  private growing: Share | null = null
  private windowAt = 0
  private movedBytes = 0

  constructor(budgets: ServerMemory) {
    this.budgets = budgets
  }

  /** Whether a share waits to grow. */
  get isWaiting(): boolean {
    return this.growing !== null
  }

  hold(share: MemoryShare): void {
    this.held.push(share)
  }

  /** Grows a share by `bytes`. Returns undefined when it grew at once, otherwise a promise. */
  grow(share: Share, bytes: number): Promise<void> | undefined {
    const waits = share.grow(bytes)
    if (waits === undefined) return undefined
    this.growing = share
    return waits.finally(() => {
      this.growing = null
    })
  }

  /** Rejects the growth that waits, if any. */
  cancel(error: Error): void {
    this.growing?.cancel(error)
  }

  release(): void {
    const { held } = this
    if (held.length === 0) return
    this.held = []
    for (const share of held) share.release()
  }

  /**
   * Whether other requests wait for memory while this client stalls the memory that it holds. Called once a second,
   * with the bytes that moved to and from the client since the last call.
   */
  isHoldingUp(seconds: number, movedBytes: number): boolean {
    const { values, pages, bodies } = this.budgets
    const isContended =
      values.waiting + pages.waiting + bodies.waiting > 0 && this.held.some((share) => share.bytes > 0)
    this.movedBytes += movedBytes
    if (isContended && seconds < this.windowAt + windowSeconds) return false
    const isStalled = isContended && this.movedBytes < leastMovedBytes
    this.windowAt = seconds
    this.movedBytes = 0
    return isStalled
  }
}
