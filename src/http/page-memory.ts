import { maxPageBytes, smallBytes } from '../core/limits.ts'
import type { PageMemory } from '../core/page-memory.ts'
import type { Share } from '../net/budget.ts'
import { garbageMeter } from '../runtime/garbage.ts'
import type { Connection } from './wire/client-connection.ts'

/** What was read of large pages may be garbage up to this. */
const garbage = garbageMeter(32 * 1024 * 1024)

/**
 * The memory of the pages of one response, one after the other, until the client has taken the response. How large a page is is
 * known when it has been read, so a large one is begun with room for the largest; a small one never waits.
 */
export class ResponsePages implements PageMemory {
  private readonly connection: Connection
  private readonly share: Share
  /** Bytes of the last page, which are garbage when the next is read. */
  private pageBytes = 0

  constructor(connection: Connection) {
    this.connection = connection
    this.share = connection.memory.pages.share()
    connection.hold(this.share)
  }

  /** Whether a page may be read without a look at its size first: whatever the size is, there is room. */
  get fits(): boolean {
    return this.connection.memory.pages.hasRoom(maxPageBytes)
  }

  reserve(bytes: number = maxPageBytes): Promise<void> | undefined {
    return this.connection.grow(this.share, Math.max(0, bytes - this.share.bytes))
  }

  /** So much was read and is not going to be sent. */
  discard(bytes: number): void {
    garbage.add(bytes)
  }

  /** The client was sent all of the page before; so much waits to be sent of the one that was read now. */
  hold(bytes: number): void {
    const heldBytes = bytes > smallBytes ? bytes : 0
    if (this.pageBytes > 0) garbage.add(2 * this.pageBytes)
    this.pageBytes = heldBytes
    if (heldBytes !== this.share.bytes) this.share.resize(heldBytes)
  }
}
