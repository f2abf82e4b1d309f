/**
 * A memory budget for one purpose, such as large values in responses. Each request has a share of it, which grows and
 * shrinks with its need. While there is no room, growth waits; the oldest share is served first. Shares that hold
 * memory and wait for more could deadlock. So one share at a time, the oldest that waits, may exceed the limit: usage
 * stays below the limit plus the need of one share.
 */
export class MemoryBudget {
  readonly limitBytes: number
  private used = 0
  private shares = 0
  /** Shares that wait to grow, the oldest first. */
  private readonly queue: Share[] = []
  /** The share that may exceed the limit. */
  private overdrawn: Share | null = null

  constructor(limitBytes: number) {
    this.limitBytes = limitBytes
  }

  get usedBytes(): number {
    return this.used
  }

  /** The number of shares that wait to grow. */
  get waiting(): number {
    return this.queue.length
  }

  /** Whether a share could grow by `bytes` without waiting. */
  hasRoom(bytes: number): boolean {
    return this.queue.length === 0 && this.used + bytes <= this.limitBytes
  }

  share(): Share {
    return new Share(this, this.shares++)
  }

  // For shares.

  /** Grants growth at once, or returns false: the share must wait. */
  tryGrow(share: Share, bytes: number): boolean {
    if (this.overdrawn !== share && !this.hasRoom(bytes)) {
      if (this.overdrawn !== null || this.queue.length > 0) return false
      this.overdrawn = share
    }
    this.used += bytes
    return true
  }

  wait(share: Share): void {
    const at = this.queue.findLastIndex(({ age }) => age < share.age)
    this.queue.splice(at + 1, 0, share)
  }

  stopWaiting(share: Share): void {
    const at = this.queue.indexOf(share)
    if (at !== -1) this.queue.splice(at, 1)
  }

  /** Accounts for a share that shrank by `bytes`, or grew when it is negative. */
  shrink(share: Share, bytes: number): void {
    this.used -= bytes
    const isOverdrawn = this.used > this.limitBytes && !(this.overdrawn === share && share.bytes === 0)
    if (!isOverdrawn) this.overdrawn = null
    this.serve()
  }

  private serve(): void {
    for (let first = this.queue[0]; first !== undefined; first = this.queue[0]) {
      if (this.used + first.requested > this.limitBytes) {
        if (this.overdrawn !== null) return
        this.overdrawn = first
      }
      this.queue.shift()
      this.used += first.requested
      first.granted()
    }
  }
}

/** A part of a budget. The owner must release it. */
export class Share {
  readonly age: number
  private readonly budget: MemoryBudget
  private held = 0
  private waiter: { readonly bytes: number; resolve(): void; reject(error: Error): void } | null = null

  constructor(budget: MemoryBudget, age: number) {
    this.budget = budget
    this.age = age
  }

  get bytes(): number {
    return this.held
  }

  /** The bytes it waits for; 0 when it does not wait. */
  get requested(): number {
    return this.waiter?.bytes ?? 0
  }

  /** Whether a share of this budget could grow by `bytes` without waiting. */
  hasRoom(bytes: number): boolean {
    return this.budget.hasRoom(bytes)
  }

  /**
   * Grows the share by `bytes`. Returns undefined when there is room, otherwise a promise that resolves when the budget
   * grants it.
   */
  grow(bytes: number): Promise<void> | undefined {
    if (this.budget.tryGrow(this, bytes)) {
      this.held += bytes
      return undefined
    }
    return new Promise((resolve, reject) => {
      this.waiter = { bytes, resolve, reject }
      this.budget.wait(this)
    })
  }

  /** Sets the share to the bytes actually needed, without waiting. */
  resize(bytes: number): void {
    const less = this.held - bytes
    this.held = bytes
    this.budget.shrink(this, less)
  }

  /** Rejects a `grow` that waits. */
  cancel(error: Error): void {
    const { waiter } = this
    if (waiter === null) return
    this.waiter = null
    this.budget.stopWaiting(this)
    waiter.reject(error)
  }

  release(): void {
    this.resize(0)
  }

  // For the budget.

  granted(): void {
    const { waiter } = this
    this.waiter = null
    this.held += waiter!.bytes
    waiter!.resolve()
  }
}
