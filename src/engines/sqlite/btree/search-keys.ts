import { EncodedRef } from '../../../core/encoded-ref.ts'
import type { MemberRef } from '../../../core/engine.ts'
import { byteOfHash } from './page-format.ts'

/** The most members that are prefetched together; their search keys fit in the processor's cache. */
export const maxPrefetched = 32

/** Size of slot 0, for any name and key. */
const ownSlotBytes = 4096
/** Size of the other slots; names and keys that may not fit are not prefetched. */
const slotBytes = 320
/** Zeros behind each search key, because comparisons read several bytes at once. */
const paddingBytes = 8

/**
 * Search keys as bytes: the name of a collection followed by a key, each pair in a slot. Slot 0 is for a member that is
 * not prefetched, slots 1 to `maxPrefetched` are for prefetched members. One slot is selected at a time.
 */
export class SearchKeys {
  readonly bytes = Buffer.from(new ArrayBuffer(ownSlotBytes + maxPrefetched * slotBytes))
  /** The same bytes. Slots begin at whole words. */
  readonly words = new Int32Array(this.bytes.buffer)
  readonly view = new DataView(this.bytes.buffer)
  /** Of the selected search key: its offset in `bytes`, the length of the name, and that of name and key together. */
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

  /** Writes a search key into a slot. The name is encoded only if it differs from the slot's earlier one. */
  set(slot: number, collection: string, key: string): void {
    const keyAt = this.setName(slot, collection)
    this.setLength(slot, keyAt + writeKey(this.bytes, key, keyAt))
  }

  /** As `set`. A key that is encoded already is copied. */
  setRef(slot: number, ref: MemberRef): void {
    const { collection } = ref
    if (!(ref instanceof EncodedRef)) {
      this.set(slot, collection, ref.key)
      return
    }
    const { bytes } = this
    const { bytes: keyBytes, from, to } = ref
    let at = this.setName(slot, collection)
    for (let i = from; i < to; i++) bytes[at++] = keyBytes[i]!
    for (let i = 0; i < paddingBytes; i++) bytes[at + i] = 0
    this.setLength(slot, at)
  }

  /** Writes the name into a slot, and returns where it ends. */
  private setName(slot: number, collection: string): number {
    const at = offsetOf(slot)
    if (collection !== this.nameIn[slot]) {
      this.nameIn[slot] = collection
      this.nameBytesIn[slot] = this.bytes.write(collection, at)
    }
    return at + this.nameBytesIn[slot]!
  }

  /** Sets where the search key of a slot ends. */
  private setLength(slot: number, end: number): void {
    this.lengthIn[slot] = end - offsetOf(slot)
  }

  /** The hash of the selected key in the index of a leaf. */
  hash(): number {
    return byteOfHash(this.bytes, this.from + this.nameBytes, this.from + this.length)
  }
}

/** Whether a name and a key fit into a slot for prefetching, at 3 bytes per UTF-16 unit. */
export function fitsSlot(ref: MemberRef): boolean {
  const keyBytes = ref instanceof EncodedRef ? ref.to - ref.from : ref.key.length * 3
  return ref.collection.length * 3 + keyBytes + paddingBytes <= slotBytes
}

function offsetOf(slot: number): number {
  return slot === 0 ? 0 : ownSlotBytes + (slot - 1) * slotBytes
}

/** Writes a key and the padding at an offset; returns the length of the key in bytes. */
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
