/** Entries are moved up once this many before them were taken. */
const compactAt = 1024

/** A queue: first in, first out, at a constant cost. */
export class Fifo<Entry> {
  private entries: (Entry | undefined)[] = []
  private head = 0

  get length(): number {
    return this.entries.length - this.head
  }

  get first(): Entry | undefined {
    return this.entries[this.head]
  }

  push(entry: Entry): void {
    this.entries.push(entry)
  }

  shift(): Entry | undefined {
    const { head, entries } = this
    if (head === entries.length) return undefined
    const entry = entries[head]
    entries[head] = undefined
    this.head = head + 1
    if (this.head === entries.length) {
      entries.length = 0
      this.head = 0
    } else if (this.head >= compactAt && 2 * this.head >= entries.length) {
      this.entries = entries.slice(this.head)
      this.head = 0
    }
    return entry
  }
}
