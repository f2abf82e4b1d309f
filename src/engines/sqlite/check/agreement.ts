/**
 * Compares two sets of rows of any size in constant memory: the rows that one table has, and those that another one says it
 * should have. Both sides add the checksum of each row, one with the sign 1, the other with -1; buckets that are not zero in
 * the end hold the rows that only one side has.
 */
export class Agreement {
  private readonly counts = new Int32Array(buckets)
  private readonly sums = new Float64Array(buckets)

  add(checksum: number, sign: 1 | -1): void {
    const bucket = (checksum ^ (checksum >>> 16)) & (buckets - 1)
    this.counts[bucket]! += sign
    this.sums[bucket]! += sign * (checksum >>> 0)
  }

  get holds(): boolean {
    return !this.counts.some((count) => count !== 0) && !this.sums.some((sum) => sum !== 0)
  }

  /** Whether the row with this checksum may be one that only one side has. */
  isSuspect(checksum: number): boolean {
    const bucket = (checksum ^ (checksum >>> 16)) & (buckets - 1)
    return this.counts[bucket] !== 0 || this.sums[bucket] !== 0
  }
}

const buckets = 65_536
