/**
 * Encodes texts as UTF-8 in memory that is used again. Fresh memory costs more than encoding: the kernel has to clear each page of it.
 */
export interface RecycledBuffers {
  encode(text: string): Uint8Array
  /** Takes bytes that `encode` returned back. They must not be used after that. */
  recycle(bytes: Uint8Array): void
}

/** A longer text gets memory of its own. */
const bufferBytes = 256 * 1024
const maxKept = 16

export function recycledBuffers(): RecycledBuffers {
  const kept: Buffer[] = []
  return {
    encode(text) {
      const length = Buffer.byteLength(text)
      const buffer =
        length > bufferBytes
          ? Buffer.allocUnsafeSlow(length)
          : (kept.pop() ?? Buffer.allocUnsafeSlow(bufferBytes))
      buffer.write(text)
      return length === buffer.length ? buffer : buffer.subarray(0, length)
    },
    recycle({ buffer }) {
      if (buffer.byteLength === bufferBytes && kept.length < maxKept) kept.push(Buffer.from(buffer))
    },
  }
}
