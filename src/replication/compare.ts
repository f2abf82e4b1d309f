import { stampToMs } from '../core/clock.ts'
import type { KeyVersion, MemberState, RangeDigest } from '../core/comparison.ts'
import type { MemberRef } from '../core/engine.ts'
import { compareKeys, prefixEnd } from '../core/keys.ts'
import type { ComparedNode, Overview } from './compared-node.ts'
import { type Settlement, settle } from './settle.ts'

/**
 * Finds the members of which two nodes have different versions:
 *
 *     digests    one node cuts each collection into ranges of some thousand members, and the other digests the same ranges;
 *                while it does, the first is at its next ranges
 *     narrow     ranges that differ are cut again, into ranges of some dozen members
 *     list       the versions in those that still differ are listed, and compared key by key
 *     settle     both nodes are asked again what they have of the keys that differ, tombstones included, and what is on its
 *                way to the other node gets time to arrive
 *
 * So the transfer goes with the differences, and the memory is that of a page, whatever the nodes hold.
 */

export interface Difference extends MemberRef {
  /** What the nodes have of it. */
  readonly a: MemberState
  readonly b: MemberState
  readonly settlement: Exclude<Settlement, { kind: 'same' }>
}

export interface CompareOptions {
  /** Whether a member, or with null any of a collection, is to be compared. */
  readonly isCompared: (collection: string, key: string | null) => boolean
  /** Only keys that begin with this. */
  readonly prefix?: string
  /** Any clock, in milliseconds, of which only differences count. */
  readonly elapsedMs: () => number
  readonly sleep: (ms: number) => Promise<void>
  /** What was written in this time before may still be on its way. */
  readonly onItsWayMs?: number
  /** Called now and then, with the members of `a` that were compared since. */
  readonly onProgress?: (members: number) => void
  /** Called with collections that could not be compared whole. */
  readonly onPartial?: (collection: string) => void
}

/** The sizes of ranges, from the first comparison to the last before versions are listed. */
const rangeMembers = [4096, 64] as const
const listedAtOnce = 1000
/** Members that are settled, and then synced, together. */
const settledAtOnce = 500
const usuallyOnItsWayMs = 2000

/** Yields the differences, some at a time. */
export async function* differences(
  a: ComparedNode,
  b: ComparedNode,
  options: CompareOptions,
): AsyncGenerator<readonly Difference[], void, void> {
  const comparing = new Comparing(a, b, options)
  await comparing.begin()
  let open: MemberRef[] = []
  for await (const ref of comparing.suspects()) {
    if (open.push(ref) < settledAtOnce) continue
    yield await comparing.settled(open)
    open = []
  }
  if (open.length > 0) yield await comparing.settled(open)
}

/** A range of keys of a collection, of which `members` are on side a. */
interface Range {
  readonly collection: string
  readonly from: string | null
  readonly to: string | null
}

class Comparing {
  private readonly a: ComparedNode
  private readonly b: ComparedNode
  private readonly options: CompareOptions
  private collections: readonly string[] = []
  private beganAtMs = 0
  private begunMs = 0

  constructor(a: ComparedNode, b: ComparedNode, options: CompareOptions) {
    this.a = a
    this.b = b
    this.options = options
  }

  /** Throws for a node that is compared with itself. */
  async begin(): Promise<void> {
    const { elapsedMs, isCompared, onPartial = () => {} } = this.options
    const [ofA, ofB] = await Promise.all([this.a.overview(), this.b.overview()])
    if (ofA.node === ofB.node) {
      throw new Error(
        `${this.a.name} and ${this.b.name} are the same node, or one has a copy of the other's data folder`,
      )
    }
    // Of two clocks the one that is ahead: what its node has swept, the other must not show either.
    this.beganAtMs = Math.max(ofA.nowMs, ofB.nowMs)
    this.begunMs = elapsedMs()
    const names = new Set([...namesOf(ofA), ...namesOf(ofB)].filter((name) => isCompared(name, null)))
    const partial = new Set([...partialOf(ofA), ...partialOf(ofB)])
    for (const name of names) if (partial.has(name) && !this.options.prefix) onPartial(name)
    this.collections = [...names]
      .filter((name) => !partial.has(name) || this.options.prefix)
      .toSorted(compareKeys)
  }

  /** The time at which members have expired for both nodes. */
  private atMs(): number {
    return this.beganAtMs + Math.max(0, Math.floor(this.options.elapsedMs() - this.begunMs))
  }

  /** Yields the members of which the nodes listed different versions. */
  async *suspects(): AsyncGenerator<MemberRef, void, void> {
    const { prefix = '', isCompared } = this.options
    const [from, to] = prefix === '' ? [null, null] : [prefix, prefixEnd(prefix)]
    for (const collection of this.collections) {
      for await (const key of this.differingKeys({ collection, from, to }, 0)) {
        if (isCompared(collection, key)) yield { collection, key }
      }
    }
  }

  private async *differingKeys(range: Range, level: number): AsyncGenerator<string, void, void> {
    const members = rangeMembers[level]
    if (members === undefined) {
      yield* this.listedDifferences(range)
      return
    }
    for await (const { from, to, isLopsided } of this.differingRanges(range, members, level === 0)) {
      yield* this.differingKeys({ ...range, from, to }, isLopsided ? rangeMembers.length : level + 1)
    }
  }

  /** Yields the ranges of about so many members that differ; lopsided ones have most members on one side only. */
  private async *differingRanges(
    { collection, from: start, to }: Range,
    members: number,
    isProgress: boolean,
  ): AsyncGenerator<{ from: string | null; to: string | null; isLopsided: boolean }, void, void> {
    const { onProgress = () => {} } = this.options
    const ask = (from: string | null) =>
      this.a.digests({ collection, from, to, ends: null, members, atMs: this.atMs() })
    let next: Promise<readonly RangeDigest[]> | null = ask(start)
    let from = start
    while (next !== null) {
      const ofA: readonly RangeDigest[] = await next
      const end = ofA.at(-1)!.to
      next = end === to ? null : ask(end)
      // It is awaited later; a rejection must not count as unhandled until then.
      next?.catch(() => {})
      for await (const [mine, theirs] of this.pairs(collection, from, ofA)) {
        if (mine.digest === null || mine.digest !== theirs.digest)
          yield { from, to: mine.to, isLopsided: isLopsided(mine, theirs) }
        if (isProgress) onProgress(mine.members)
        from = mine.to
      }
    }
  }

  /** Yields each range of `a` with that of `b`. */
  private async *pairs(
    collection: string,
    start: string | null,
    ofA: readonly RangeDigest[],
  ): AsyncGenerator<readonly [RangeDigest, RangeDigest], void, void> {
    let done = 0
    let from = start
    while (done < ofA.length) {
      const ends = ofA.slice(done).map(({ to }) => to)
      const asked = { collection, from, to: ends.at(-1)!, ends, members: 1, atMs: this.atMs() }
      for (const theirs of await this.b.digests(asked)) {
        yield [ofA[done]!, theirs]
        from = ofA[done++]!.to
      }
    }
  }

  /** Yields the keys of a range whose versions differ. */
  private async *listedDifferences(range: Range): AsyncGenerator<string, void, void> {
    const [listA, listB] = [this.listed(this.a, range), this.listed(this.b, range)]
    let [mine, theirs] = [await nextOf(listA), await nextOf(listB)]
    while (mine !== null || theirs !== null) {
      const order = mine === null ? 1 : theirs === null ? -1 : compareKeys(mine.key, theirs.key)
      if (order !== 0) yield (order < 0 ? mine : theirs)!.key
      else if (!isSameVersion(mine!, theirs!)) yield mine!.key
      if (order <= 0) mine = await nextOf(listA)
      if (order >= 0) theirs = await nextOf(listB)
    }
  }

  private async *listed(node: ComparedNode, range: Range): AsyncGenerator<KeyVersion, void, void> {
    let { from } = range
    do {
      const page = await node.versions({ ...range, from, limit: listedAtOnce, atMs: this.atMs() })
      yield* page.versions
      from = page.next
    } while (from !== null)
  }

  /** Returns those members that differ indeed, once what may be on its way has had time to arrive. */
  async settled(refs: readonly MemberRef[]): Promise<readonly Difference[]> {
    const { sleep, onItsWayMs = usuallyOnItsWayMs } = this.options
    const found = await this.differing(refs)
    const isRecent = ({ a, b }: Difference) => Math.max(writtenMs(a), writtenMs(b)) > this.atMs() - onItsWayMs
    const recent = found.filter(isRecent)
    if (recent.length === 0) return found
    await sleep(onItsWayMs)
    const again = await this.differing(recent)
    return [...found.filter((one) => !recent.includes(one)), ...again]
  }

  private async differing(suspects: readonly MemberRef[]): Promise<readonly Difference[]> {
    const atMs = this.atMs()
    const refs = suspects.map(({ collection, key }) => ({ collection, key }))
    const [ofA, ofB] = await Promise.all([this.a.states(refs, atMs), this.b.states(refs, atMs)])
    return refs.flatMap(({ collection, key }, i) => {
      const [a, b] = [ofA.states[i]!, ofB.states[i]!]
      const settlement = settle(
        { state: a, forgottenClock: ofA.forgottenClock },
        { state: b, forgottenClock: ofB.forgottenClock },
        atMs,
      )
      return settlement.kind === 'same' ? [] : [{ collection, key, a, b, settlement }]
    })
  }
}

function namesOf({ collections }: Overview): readonly string[] {
  return collections.map(({ name }) => name)
}

function partialOf({ collections }: Overview): readonly string[] {
  return collections.flatMap(({ name, members }) => (members === null ? [name] : []))
}

/** Whether narrower ranges would differ nearly all: then the versions are listed at once. */
function isLopsided(a: RangeDigest, b: RangeDigest): boolean {
  if (a.digest === null || b.digest === null) return true
  return Math.abs(a.members - b.members) * 4 > Math.max(a.members, b.members)
}

function isSameVersion(a: KeyVersion, b: KeyVersion): boolean {
  return a.clock === b.clock && a.node === b.node && a.expiresAtMs === b.expiresAtMs
}

function writtenMs(state: MemberState): number {
  return state.type === 'none' ? 0 : stampToMs(state.clock)
}

async function nextOf<T>(items: AsyncGenerator<T, void, void>): Promise<T | null> {
  const { done, value } = await items.next()
  return done ? null : value
}
