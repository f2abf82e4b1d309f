/**
 * JSON that a client sent and that was validated as bytes. It becomes a text only for what reads it as one: watchers, processes,
 * schemas. Most puts are stored without, and to decode a long value would cost as much as half of all else.
 *
 * It holds the bytes or the text: the bytes may be a part of a large buffer of a socket, and must not outlive the put for long.
 */
export class EncodedText {
  private bytes: Uint8Array | null
  private decoded = ''

  /** The bytes must be UTF-8. */
  constructor(bytes: Uint8Array) {
    this.bytes = bytes
  }

  get isDecoded(): boolean {
    return this.bytes === null
  }

  get utf8(): Uint8Array {
    return this.bytes ?? Buffer.from(this.decoded)
  }

  get text(): string {
    const { bytes } = this
    if (bytes !== null) {
      this.decoded = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString()
      this.bytes = null
    }
    return this.decoded
  }
}

/** By object, so that a copy of an object, which may be given another value, has none. */
const encodedTexts = new WeakMap<object, EncodedText>()

/** Gives an object a `value`, the text, that is decoded when it, or a copy of the object, is read. */
export function withEncodedText<Rest extends object>(
  object: Rest,
  encoded: EncodedText,
): Rest & { readonly value: string } {
  encodedTexts.set(object, encoded)
  return Object.defineProperty(object, 'value', { enumerable: true, get: () => encoded.text }) as Rest & {
    readonly value: string
  }
}

/** Returns what `withEncodedText` gave this object, unless it has been decoded. */
export function encodedTextOf(object: object): EncodedText | undefined {
  const encoded = encodedTexts.get(object)
  return encoded === undefined || encoded.isDecoded ? undefined : encoded
}
