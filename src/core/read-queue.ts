import type { MaybePromise, MemberRef } from './engine.ts'
import type { Member } from './member.ts'
import type { Reads } from './reads.ts'

/**
 * Reads that the input of a tick asks for, done together when all of it was processed: to look up many members at once
 * costs less than to look up each. What the engine has at once is there within the tick.
 */
export interface ReadQueue {
  /** The member if nothing has to be waited for, as `Reads.cached`. */
  cached(ref: MemberRef): Member | null | undefined
  /** Asks for a member on behalf of a reader, which may ask for several, `maxReadTogether` at most, one after the other. */
  add(ref: MemberRef, reader: MemberReader): void
}

/** Waits for the members that it asked for. */
export interface MemberReader {
  /**
   * Called once with the members that it asked for: `count` of them, in order, from an index on. These are fewer than it
   * asked for where they could not all be read together, because one is damaged or they are large; the reader reads the
   * others by itself. Must not throw.
   */
  found(members: readonly (Member | null)[], from: number, count: number): void
}

/** So many members are read together. */
export const maxReadTogether = 256
/** What the values of those may come to, about. */
const maxBytes = 1024 * 1024

/** `schedule` runs what it is given when the input of the tick has been processed. */
export function readQueue(
  { cached, readMany }: Pick<Reads, 'cached' | 'readMany'>,
  schedule: (work: () => void) => void,
): ReadQueue {
  let refs: MemberRef[] = []
  let readers: MemberReader[] = []

  function readAll(): void {
    const allRefs = refs
    const allReaders = readers
    refs = []
    readers = []
    if (allRefs.length <= maxReadTogether) {
      readSome(allRefs, allReaders)
      return
    }
    for (let from = 0, to = 0; from < allRefs.length; from = to) {
      to = Math.min(from + maxReadTogether, allRefs.length)
      // What one reader asks for is read together.
      while (to < allRefs.length && allReaders[to] === allReaders[to - 1]) to--
      readSome(allRefs.slice(from, to), allReaders.slice(from, to))
    }
  }

  function readSome(someRefs: readonly MemberRef[], someReaders: readonly MemberReader[]): void {
    let read: MaybePromise<(Member | null)[]>
    try {
      read = readMany(someRefs, maxBytes)
    } catch {
      // Each reader reads by itself then, and gets its own error.
      read = []
    }
    if (read instanceof Promise) {
      read.then(
        (members) => give(members, someReaders),
        () => give([], someReaders),
      )
    } else {
      give(read, someReaders)
    }
  }

  function give(members: readonly (Member | null)[], someReaders: readonly MemberReader[]): void {
    for (let from = 0, to = 0; from < someReaders.length; from = to) {
      const reader = someReaders[from]!
      while (to < someReaders.length && someReaders[to] === reader) to++
      reader.found(members, from, Math.max(Math.min(to, members.length) - from, 0))
    }
  }

  return {
    cached,
    add(ref, reader) {
      readers.push(reader)
      if (refs.push(ref) === 1) schedule(readAll)
    },
  }
}
