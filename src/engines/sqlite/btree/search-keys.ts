import { byteOfHash } from './page-format.ts'

/** So many members are searched for together; what that needs stays in the processor's own memory. */
export const maxPrefetched = 256

/** The slot of the member that is read now has room for every name and key. */
const ownSlotBytes = 4096
/** Names and keys that may not fit into a slot of this size are not prefetched. */
const slotBytes = 320
/** Zeros behind each search key, which is compared with several bytes at once. */
const paddingBytes = 8

/**
 * What is searched for, as bytes: the name of a collection and a key, one behind the other, each pair in a slot. Slot 0 is for
 * the member that is read now, slots 1 to `maxPrefetched` are for those that are prefetched. One of the slots is selected.
 */
export class SearchKeys {
  readonly bytes = Buffer.alloc(ownSlotBytes + maxPrefetched * slotBytes)
  /** Where the selected search key begins in `bytes`, how long the name is, and how long name and key are together. */
  from = 0
  nameBytes = 0
  length = 0

  private readonly nameIn = new Array<string>(maxPrefetched + 1).fill('')
  private readonly nameBytesIn = new Uint16Array(maxPrefetched + 1)
  private readonly lengthIn = new Uint16Array(maxPrefetched + 1)

  select(slot: number): void {
    this.from = offsetOf(slot)
    this.nameBytes = this.nameBytesIn[slot]!
    this.length = this.lengthIn[slot]!
  }

  /** Writes a search key into a slot. Most have the collection of the one that was there before. */
  set(slot: number, collection: string, key: string): void {
    const at = offsetOf(slot)
    let nameBytes = this.nameBytesIn[slot]!
    if (collection !== this.nameIn[slot]) {
      nameBytes = this.bytes.write(collection, at)
      this.nameIn[slot] = collection
      this.nameBytesIn[slot] = nameBytes
    }
    this.lengthIn[slot] = nameBytes + writeKey(this.bytes, key, at + nameBytes)
  }

  /** By which the index of a leaf knows the selected key. */
  hash(): number {
    return byteOfHash(this.bytes, this.from + this.nameBytes, this.from + this.length)
  }
}

/** Whether a name and a key fit into a slot of those that are prefetched, however many bytes they have. */
export function fitsSlot(collection: string, key: string): boolean {
  return (collection.length + key.length) * 3 + paddingBytes <= slotBytes
}

function offsetOf(slot: number): number {
  return slot === 0 ? 0 : ownSlotBytes + (slot - 1) * slotBytes
}

/** Returns how many bytes the key has. */
function writeKey(bytes: Buffer, key: string, at: number): number {
  for (let i = 0; i < key.length; i++) {
    const unit = key.charCodeAt(i)
    if (unit > 127) {
      const keyBytes = bytes.write(key, at)
      bytes.fill(0, at + keyBytes, at + keyBytes + paddingBytes)
      return keyBytes
    }
    bytes[at + i] = unit
  }
  for (let i = 0; i < paddingBytes; i++) bytes[at + key.length + i] = 0
  return key.length
}
