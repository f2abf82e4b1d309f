import { maxPageBytes, smallBytes } from '../core/limits.ts'
import type { PageMemory } from '../core/page-memory.ts'
import type { Share } from '../net/budget.ts'
import { garbageMeter } from '../runtime/garbage.ts'
import type { Connection } from './wire/client-connection.ts'

/** Bytes of large pages after which garbage is collected. */
const garbage = garbageMeter(32 * 1024 * 1024)

/**
 * The memory of the pages of one response, which are sent one after another. The size of a page is known only when it
 * has been read, so reading a large one starts with room for the largest; a small one never waits.
 */
export class ResponsePages implements PageMemory {
  readonly connection: Connection
  private readonly share: Share
  /** Bytes of the last page, which are garbage when the next is read. */
  private pageBytes = 0

  constructor(connection: Connection) {
    this.connection = connection
    this.share = connection.memory.pages.share()
    connection.hold(this.share)
  }

  /** Whether a page may be read without checking its size first: there is room for the largest page. */
  get fits(): boolean {
    return this.connection.memory.pages.hasRoom(maxPageBytes)
  }

  reserve(bytes: number = maxPageBytes): Promise<void> | undefined {
    return this.connection.grow(this.share, Math.max(0, bytes - this.share.bytes))
  }

  /** Accounts for bytes that were read and will not be sent. */
  discard(bytes: number): void {
    garbage.add(bytes)
  }

  /** Accounts for the page that was read now and waits to be sent. The previous page has been sent. */
  hold(bytes: number): void {
    const heldBytes = bytes > smallBytes ? bytes : 0
    if (this.pageBytes > 0) garbage.add(2 * this.pageBytes)
    this.pageBytes = heldBytes
    if (heldBytes !== this.share.bytes) this.share.resize(heldBytes)
  }
}
