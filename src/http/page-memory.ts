import { maxPageBytes, smallBytes } from '../core/limits.ts'
import type { Connection } from './connection.ts'

/**
 * The memory of a response that is made of pages. How large one is is known when it has been read, so that each is begun
 * with room for the largest.
 */
export interface PageMemory {
  /** Before a page is read: waits until there is room for it. The one before must have been sent. */
  begin(): Promise<void> | undefined
  /** The page was read, and so much of it waits to be sent. */
  read(bytes: number): void
}

/** `largestBytes` is what a page can come to. */
export function pageMemory(connection: Connection, largestBytes = maxPageBytes): PageMemory {
  const share = connection.memory.pages.share()
  connection.hold(share)
  return {
    begin: () => connection.grow(share, Math.max(0, largestBytes - share.bytes)),
    read: (bytes) => share.resize(bytes > smallBytes ? bytes : 0),
  }
}
