import type { MemberRef } from './engine.ts'

/** A reference whose key is in other bytes, of a request or of an entry, as UTF-8. Engines search for the bytes; few keys are ever decoded. */
export class EncodedRef implements MemberRef {
  readonly collection: string
  readonly bytes: Uint8Array
  /** The offset of the key, and of its end. */
  readonly from: number
  readonly to: number
  private text: string | null = null

  constructor(collection: string, bytes: Uint8Array, from: number, to: number) {
    this.collection = collection
    this.bytes = bytes
    this.from = from
    this.to = to
  }

  get key(): string {
    const text = this.text ?? Buffer.prototype.utf8Slice.call(this.bytes, this.from, this.to)
    this.text = text
    return text
  }
}
