import type { Commit } from '../../core/engine.ts'
import type { CollectionSize, Quota } from '../../core/quota.ts'
import type { LineMap } from './layout.ts'
import type { LineReads } from './line-reads.ts'

/**
 * Quotas of collections with members on several lines. A line's script knows the sizes on its own line; what it counts of
 * the others is read before, and what commits of this server that are under way may add there is counted as if it was done.
 * So the commits of one server keep a quota exactly, and most need not wait for each other. One that would fit only if those
 * before it came to less waits until they have ended.
 *
 * Of other servers it counts what they have done when it reads. When a collection becomes full, they can go on with what they have
 * read the sizes for already: what is under way at that moment.
 */
export class SpreadQuotas {
  private readonly lines: LineMap
  private readonly reads: Pick<LineReads, 'sizeOf'>
  /** By collection, in the order of the calls. */
  private readonly reservations = new Map<string, Set<Reservation>>()

  constructor(lines: LineMap, reads: Pick<LineReads, 'sizeOf'>) {
    this.lines = lines
    this.reads = reads
  }

  /** Returns null for a commit whose quotas its line can evaluate by itself. */
  reserve(line: number, commit: Commit): Reserved | null {
    const { quotas = [] } = commit
    const growing = quotas.flatMap((quota) => {
      const growth = growthOf(commit, quota.collection)
      return growth.members > 0 && this.lines.linesOf(quota.collection).length > 1 ? [{ quota, growth }] : []
    })
    if (growing.length === 0) return null
    const { promise: ended, resolve: end } = Promise.withResolvers<void>()
    const removals: (() => void)[] = []
    const sizes = new Map<Quota, Promise<CollectionSize>>()
    for (const { quota, growth } of growing) {
      const reservations = this.reservationsOf(quota.collection)
      const before = [...reservations]
      const own: Reservation = { line, growth, ended }
      reservations.add(own)
      removals.push(() => this.remove(quota.collection, own))
      sizes.set(quota, this.sizeElsewhere(quota, own, before))
    }
    const release = () => {
      for (const remove of removals) remove()
      end()
    }
    return { elsewhere: Promise.all(quotas.map((quota) => sizes.get(quota) ?? noSize)), release }
  }

  /** Returns what other lines have, and may have by what was called before. */
  private async sizeElsewhere(
    quota: Quota,
    own: Reservation,
    before: readonly Reservation[],
  ): Promise<CollectionSize> {
    const { collection } = quota
    for (;;) {
      const pending = before.filter((one) => this.reservations.get(collection)?.has(one))
      const lines = this.lines.linesOf(collection)
      const sizes = await Promise.all(lines.map((line) => this.reads.sizeOf(line, collection)))
      const growth = pending.map((one) => one.growth)
      const mayNeed = sum([...sizes, ...growth, own.growth])
      if (pending.length === 0 || isWithin(quota, mayNeed) || isFull(quota, sum(sizes))) {
        const others = sizes.filter((_, i) => lines[i] !== own.line)
        return sum([...others, ...pending.filter(({ line }) => line !== own.line).map((one) => one.growth)])
      }
      await Promise.all(pending.map(({ ended }) => ended))
    }
  }

  private reservationsOf(collection: string): Set<Reservation> {
    const known = this.reservations.get(collection)
    if (known !== undefined) return known
    const added = new Set<Reservation>()
    this.reservations.set(collection, added)
    return added
  }

  private remove(collection: string, reservation: Reservation): void {
    const reservations = this.reservations.get(collection)
    reservations?.delete(reservation)
    if (reservations?.size === 0) this.reservations.delete(collection)
  }
}

export interface Reserved {
  /** Resolves with the sizes on other lines that the commit counts, in the order of its quotas. */
  readonly elsewhere: Promise<readonly CollectionSize[]>
  /** Call it when the commit has ended. */
  release(): void
}

interface Reservation {
  readonly line: number
  /** What the commit adds at most. */
  readonly growth: CollectionSize
  readonly ended: Promise<void>
}

const noSize: CollectionSize = { members: 0, bytes: 0 }

function growthOf({ writes }: Commit, collection: string): CollectionSize {
  let members = 0
  let bytes = 0
  for (const write of writes) {
    if (write.op !== 'put' || write.collection !== collection) continue
    members++
    bytes += Buffer.byteLength(write.key) + Buffer.byteLength(write.value)
  }
  return { members, bytes }
}

function sum(sizes: readonly CollectionSize[]): CollectionSize {
  return {
    members: sizes.reduce((total, { members }) => total + members, 0),
    bytes: sizes.reduce((total, { bytes }) => total + bytes, 0),
  }
}

function isWithin({ maxMembers, maxBytes }: Quota, { members, bytes }: CollectionSize): boolean {
  return (maxMembers === null || members <= maxMembers) && (maxBytes === null || bytes <= maxBytes)
}

function isFull({ maxMembers, maxBytes }: Quota, { members, bytes }: CollectionSize): boolean {
  return (maxMembers !== null && members >= maxMembers) || (maxBytes !== null && bytes >= maxBytes)
}
