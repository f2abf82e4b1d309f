import type { SecondClock } from '../net/connections.ts'

/** The number of slots; a power of two. */
const slots = 2 ** 18

/**
 * A table of when versions of members were last fetched through this port, by revision, for the `h` and `l` flags of
 * `mg`. In memory only and of fixed size: a version is replaced by another one with the same low bits.
 */
export class AccessTable {
  private readonly clock: SecondClock
  private readonly revisions = new Float64Array(slots)
  private readonly seconds = new Uint32Array(slots)

  constructor(clock: SecondClock) {
    this.clock = clock
  }

  record(revision: number): void {
    const slot = revision & (slots - 1)
    this.revisions[slot] = revision
    this.seconds[slot] = this.clock.seconds
  }

  /**
   * Returns the seconds since the version was last fetched; null when no fetch is recorded. Revision 0 means no
   * version.
   */
  secondsAgo(revision: number): number | null {
    if (revision === 0) return null
    const slot = revision & (slots - 1)
    return this.revisions[slot] === revision ? this.clock.seconds - this.seconds[slot]! : null
  }

  /** Copies the entry of a version to the one that replaces it with only another number, expiry or mark. */
  carry(from: number, to: number): void {
    const slot = from & (slots - 1)
    if (from === 0 || this.revisions[slot] !== from) return
    const next = to & (slots - 1)
    this.revisions[next] = to
    this.seconds[next] = this.seconds[slot]!
  }
}
