import type { MaybePromise, MemberRef } from './engine.ts'
import type { Member } from './member.ts'
import type { Reads } from './reads.ts'

/**
 * Collects the reads that the input of one tick requests and does them together once all of the input was processed:
 * one lookup of many members costs less than many lookups. Members that a local engine returns at once are delivered
 * within the tick.
 */
export interface ReadQueue {
  /** Returns the member if it is in the cache, as `Reads.cached` does. */
  cached(ref: MemberRef): Member | null | undefined
  /** Queues a read for a reader. A reader may queue up to `maxReadTogether` reads, one directly after the other. */
  add(ref: MemberRef, reader: MemberReader): void
  /** As `add`, for a member that `cached` did not return in this tick. */
  addUncached(ref: MemberRef, reader: MemberReader): void
}

/** Receives the members that it queued reads for. */
export interface MemberReader {
  /**
   * Called once with the members that it queued reads for: `count` of them, in order, from index `from` on. `count` is
   * smaller where they could not all be read together, because one is damaged or they are large; the reader then reads
   * the others itself. Must not throw.
   */
  found(members: readonly (Member | null)[], from: number, count: number): void
}

/** The largest number of members in one read of the engine. */
export const maxReadTogether = 256
/** The approximate limit for the bytes of their values. */
const maxBytes = 1024 * 1024

/** Returns a read queue. `schedule` must run its work once the input of the tick was processed. */
export function readQueue(
  { cached, readMany, readUncached }: Pick<Reads, 'cached' | 'readMany' | 'readUncached'>,
  schedule: (work: () => void) => void,
): ReadQueue {
  let refs: MemberRef[] = []
  let readers: MemberReader[] = []
  /** How many of the refs are known not to be in the cache. */
  let uncached = 0

  function readAll(): void {
    const allRefs = refs
    const allReaders = readers
    const read = uncached === refs.length ? readUncached : readMany
    refs = []
    readers = []
    uncached = 0
    if (allRefs.length <= maxReadTogether) {
      readSome(allRefs, allReaders, read)
      return
    }
    for (let from = 0, to = 0; from < allRefs.length; from = to) {
      to = Math.min(from + maxReadTogether, allRefs.length)
      // Keep the reads of one reader together.
      while (to < allRefs.length && allReaders[to] === allReaders[to - 1]) to--
      readSome(allRefs.slice(from, to), allReaders.slice(from, to), read)
    }
  }

  function readSome(
    someRefs: readonly MemberRef[],
    someReaders: readonly MemberReader[],
    read: Reads['readMany'],
  ): void {
    let found: MaybePromise<(Member | null)[]>
    try {
      found = read(someRefs, maxBytes)
    } catch {
      // Each reader then reads its members itself and gets its own error.
      found = []
    }
    if (found instanceof Promise) {
      found.then(
        (members) => give(members, someReaders),
        () => give([], someReaders),
      )
    } else {
      give(found, someReaders)
    }
  }

  function give(members: readonly (Member | null)[], someReaders: readonly MemberReader[]): void {
    for (let from = 0, to = 0; from < someReaders.length; from = to) {
      const reader = someReaders[from]!
      while (to < someReaders.length && someReaders[to] === reader) to++
      reader.found(members, from, Math.max(Math.min(to, members.length) - from, 0))
    }
  }

  function add(ref: MemberRef, reader: MemberReader): void {
    readers.push(reader)
    if (refs.push(ref) === 1) schedule(readAll)
  }

  return {
    cached,
    add,
    addUncached(ref, reader) {
      uncached++
      add(ref, reader)
    },
  }
}
