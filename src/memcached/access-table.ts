import type { SecondClock } from '../net/connections.ts'

/** A power of two. */
const slots = 2 ** 18

/**
 * When versions of members were last fetched through this port, by their revision, for the `h` and `l` flags of `mg`. In
 * memory only and of bounded size: a version loses its slot to another one with the same low bits.
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

  /** How long ago the version was last fetched; null when it was not, as far as is known. Revision 0 is none. */
  secondsAgo(revision: number): number | null {
    if (revision === 0) return null
    const slot = revision & (slots - 1)
    return this.revisions[slot] === revision ? this.clock.seconds - this.seconds[slot]! : null
  }

  /** A version that only got another number, expiry or mark is as fetched as the one that it replaces. */
  carry(from: number, to: number): void {
    const slot = from & (slots - 1)
    if (from === 0 || this.revisions[slot] !== from) return
    const next = to & (slots - 1)
    this.revisions[next] = to
    this.seconds[next] = this.seconds[slot]!
  }
}
