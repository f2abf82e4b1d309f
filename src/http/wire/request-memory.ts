import type { MemoryBudget, Share } from '../../net/budget.ts'

/** The budgets of a server. */
export interface ServerMemory {
  /** Large values on their way to clients. */
  readonly values: MemoryBudget
  /** Pages of lists and of the feed on their way to clients. */
  readonly pages: MemoryBudget
  /** Bodies of requests on their way to the store. */
  readonly bodies: MemoryBudget
}

/** Something that a connection holds for its client. */
export interface MemoryShare {
  readonly bytes: number
  release(): void
}

/**
 * While requests wait for memory, a client that holds some and sends or takes less than `leastMovedBytes` in `windowSeconds`
 * is disconnected: otherwise it could hold that memory as long as it likes.
 */
const leastMovedBytes = 64 * 1024
const windowSeconds = 10

/** What a request and its response hold of the server's memory. */
export class RequestMemory {
  private readonly budgets: ServerMemory
  private held: MemoryShare[] = []
  private growing: Share | null = null
  private windowAt = 0
  private movedBytes = 0

  constructor(budgets: ServerMemory) {
    this.budgets = budgets
  }

  /** A share waits to grow. */
  get isWaiting(): boolean {
    return this.growing !== null
  }

  hold(share: MemoryShare): void {
    this.held.push(share)
  }

  /** Undefined when the share has grown already. */
  grow(share: Share, bytes: number): Promise<void> | undefined {
    const waits = share.grow(bytes)
    if (waits === undefined) return undefined
    this.growing = share
    return waits.finally(() => {
      this.growing = null
    })
  }

  /** Rejects the growth that waits. */
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
   * Whether others wait for memory while the client stalls what it holds. Called once a second,
   * with the bytes that moved to and from the client since then.
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
