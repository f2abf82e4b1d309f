import type { Engine, MaybePromise } from '../engine.ts'
import { maxPageBytes, smallPageBytes } from '../limits.ts'
import type { Member } from '../member.ts'
import type { PageMemory } from '../page-memory.ts'

export interface KeyedReadsOptions {
  readonly engine: Pick<Engine, 'readMany'>
  readonly collection: string
  readonly memory: PageMemory
  /** See `PageOptions.isPart`. */
  readonly isPart: boolean
}

/** Members that were read together. */
export interface ReadPart {
  /** Of the first keys that were asked for; null for one that is gone. */
  readonly members: readonly (Member | null)[]
  /** The next value does not fit beside those that the caller holds: nothing was read. */
  readonly isFull: boolean
  /** They were read in the call, not after it. */
  readonly isAtOnce: boolean
}

/** Reads the members with these keys, as far as their values fit in the memory of a page. */
export class KeyedReads {
  private readonly options: KeyedReadsOptions
  private hasMemory = false

  constructor(options: KeyedReadsOptions) {
    this.options = options
  }

  /** Returns the members of the first of these keys. `heldBytes` are those of the values that the caller holds. */
  async read(keys: readonly string[], heldBytes: number): Promise<ReadPart> {
    const reading = this.readMany(keys, smallPageBytes)
    const isAtOnce = !(reading instanceof Promise)
    const members = isAtOnce ? reading : await reading
    const last = members.length - 1
    if (bytesOf(members) <= smallPageBytes) return { members, isFull: false, isAtOnce }
    if (last > 0) return { members: members.slice(0, last), isFull: false, isAtOnce }
    const isTooLarge = this.options.isPart || heldBytes + bytesOf(members) > maxPageBytes
    if (heldBytes > 0 && isTooLarge) return { members: [], isFull: true, isAtOnce }
    return { members: await this.readLarge(keys[0]!), isFull: false, isAtOnce: false }
  }

  /** Reads a large value again when there is memory for it: until then it is not held. */
  private async readLarge(key: string): Promise<readonly (Member | null)[]> {
    if (!this.hasMemory) await this.options.memory.reserve()
    this.hasMemory = true
    return this.readMany([key], maxPageBytes)
  }

  private readMany(keys: readonly string[], maxBytes: number): MaybePromise<readonly (Member | null)[]> {
    const { engine, collection } = this.options
    return engine.readMany(
      keys.map((key) => ({ collection, key })),
      maxBytes,
    )
  }
}

function bytesOf(members: readonly (Member | null)[]): number {
  let bytes = 0
  for (const member of members) if (member !== null) bytes += member.value.length
  return bytes
}
