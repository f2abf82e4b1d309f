/** Lines of NDJSON, of which the long ones are never held: their beginning and their end are enough for a list. */

export interface BoundedLine {
  readonly head: string
  /** The end; the same as `head` for a line that was kept whole. */
  readonly tail: string
  /** Of the whole line. */
  readonly bytes: number
}

/** A key of 512 bytes takes at most 3 kB as JSON. */
const headBytes = 4096
/** Metadata with the longest content type. */
const tailBytes = 2048
const newline = 10

export async function* boundedLines(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<BoundedLine> {
  const line = new LineBuffer()
  for await (const chunk of chunks) {
    let from = 0
    for (let to = chunk.indexOf(newline); to !== -1; to = chunk.indexOf(newline, from)) {
      line.add(chunk.subarray(from, to))
      yield line.take()
      from = to + 1
    }
    line.add(chunk.subarray(from))
  }
  if (line.bytes > 0) yield line.take()
}

class LineBuffer {
  bytes = 0
  readonly #head = new Uint8Array(headBytes)
  #tail = new Uint8Array(0)
  readonly #decoder = new TextDecoder()

  add(part: Uint8Array): void {
    const room = Math.max(0, headBytes - this.bytes)
    this.#head.set(part.subarray(0, room), Math.min(this.bytes, headBytes))
    this.bytes += part.length
    if (part.length > room) this.#tail = lastOf(this.#tail, part.subarray(room))
  }

  take(): BoundedLine {
    const { bytes } = this
    const head = this.#decoder.decode(this.#head.subarray(0, Math.min(bytes, headBytes)))
    // The end may begin within the head: both together are the line then.
    const tail = bytes <= headBytes ? head : head.slice(-tailBytes) + this.#decoder.decode(this.#tail)
    this.bytes = 0
    this.#tail = new Uint8Array(0)
    return { head, tail, bytes }
  }
}

function lastOf(before: Uint8Array, part: Uint8Array): Uint8Array<ArrayBuffer> {
  if (part.length >= tailBytes) return part.slice(-tailBytes)
  const kept = before.subarray(Math.max(0, before.length + part.length - tailBytes))
  const joined = new Uint8Array(kept.length + part.length)
  joined.set(kept)
  joined.set(part, kept.length)
  return joined
}
