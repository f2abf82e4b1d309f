/**
 * Maps a list that may be taller than a browser lets an element be (Firefox stops at 17.8 million pixels) to one that is
 * not. Positions in the list are virtual; the scrolling element has the real ones. Both are the same within some height
 * from either end; what is between is compressed.
 *
 * A short step of scrolling moves the list by just as much wherever it is, so that rows move as the hand does: the
 * difference between the two, `shift`, stays. A long one, of a dragged scrollbar, goes to where the map says. When scrolling
 * has stopped, the real position is moved to where the map has it, and the rows along with it, so that nothing is seen.
 */

const maxRealPx = 12_000_000
const exactPx = 100_000

export class ScrollScale {
  #virtualPx = 0
  #viewPx = 0
  #realTopPx = 0
  /** The virtual position of the top of the view. */
  top = 0

  /** What to subtract from virtual positions to get real ones, just now. */
  get shift(): number {
    return this.top - this.#realTopPx
  }

  get realPx(): number {
    return Math.min(this.#virtualPx, maxRealPx)
  }

  resize(virtualPx: number, viewPx: number): void {
    this.#virtualPx = virtualPx
    this.#viewPx = viewPx
    this.top = this.#bounded(this.top)
  }

  /** The element was scrolled. */
  scrolled(realTopPx: number): void {
    const step = realTopPx - this.#realTopPx
    this.#realTopPx = realTopPx
    const isLong = Math.abs(step) > 4 * this.#viewPx
    this.top = this.#bounded(isLong ? this.#virtualOf(realTopPx) : this.top + step)
    // The end of the element is that of the list, or a person could not scroll on.
    if (realTopPx <= 0) this.top = 0
  }

  /** Goes to a virtual position; returns the real one to scroll to. Call `arrived` with where that has led. */
  moveTo(top: number): number {
    this.top = this.#bounded(top)
    return this.settledPx
  }

  /** The real position that the map has for the present virtual one. */
  get settledPx(): number {
    return this.#realOf(this.top)
  }

  arrived(realTopPx: number): void {
    this.#realTopPx = realTopPx
  }

  /** Whether the real position has drifted so near to an end that scrolling would stop too early. */
  get isCramped(): boolean {
    const left = this.realPx - this.#viewPx - this.#realTopPx
    return this.shift !== 0 && (this.#realTopPx < 4 * this.#viewPx || left < 4 * this.#viewPx)
  }

  #bounded(top: number): number {
    return Math.max(0, Math.min(top, this.#virtualPx - this.#viewPx))
  }

  get #compression(): number {
    return (this.#virtualPx - this.#viewPx - 2 * exactPx) / (maxRealPx - this.#viewPx - 2 * exactPx)
  }

  #realOf(virtual: number): number {
    if (this.#virtualPx <= maxRealPx || virtual <= exactPx) return virtual
    const fromEnd = this.#virtualPx - this.#viewPx - virtual
    if (fromEnd <= exactPx) return maxRealPx - this.#viewPx - fromEnd
    return exactPx + (virtual - exactPx) / this.#compression
  }

  #virtualOf(real: number): number {
    if (this.#virtualPx <= maxRealPx || real <= exactPx) return real
    const fromEnd = maxRealPx - this.#viewPx - real
    if (fromEnd <= exactPx) return this.#virtualPx - this.#viewPx - fromEnd
    return exactPx + (real - exactPx) * this.#compression
  }
}
