/** Whole lines of a stream for one request. */
export interface LineChunk {
  readonly bytes: Uint8Array<ArrayBuffer>
  /** The number of lines, including a last one without a line feed. */
  readonly lines: number
}

/** A line that was skipped because it exceeds `maxLineBytes`. */
export interface OverlongLine {
  readonly overlongBytes: number
}

const lineFeed = 10

/**
 * Splits a stream into chunks of whole lines, of `chunkBytes` or a little more. It buffers at most that, or one line of
 * `maxLineBytes`; a longer line is read and discarded.
 */
export async function* lineChunks(
  source: AsyncIterable<Uint8Array>,
  chunkBytes: number,
  maxLineBytes: number,
): AsyncGenerator<LineChunk | OverlongLine> {
  let buffered: Uint8Array[] = []
  let wholeBytes = 0 // of buffered, up to its last line feed
  let openBytes = 0 // of buffered, after it
  let overlongBytes = 0 // of the line that is being skipped

  for await (let block of source) {
    if (overlongBytes > 0) {
      const end = block.indexOf(lineFeed) + 1
      overlongBytes += end === 0 ? block.length : end
      if (end === 0) continue
      yield { overlongBytes }
      overlongBytes = 0
      block = block.subarray(end)
    }
    const end = block.lastIndexOf(lineFeed) + 1
    if (end > 0) {
      wholeBytes += openBytes + end
      openBytes = 0
    }
    openBytes += block.length - end
    buffered.push(block)
    if (wholeBytes < chunkBytes && openBytes <= maxLineBytes) continue

    const all = join(buffered, wholeBytes + openBytes)
    if (wholeBytes > 0) yield chunk(all.subarray(0, wholeBytes))
    buffered = [all.slice(wholeBytes)]
    wholeBytes = 0
    if (openBytes <= maxLineBytes) continue
    buffered = []
    overlongBytes = openBytes
    openBytes = 0
  }
  if (overlongBytes > 0) yield { overlongBytes }
  if (wholeBytes + openBytes > 0) yield chunk(join(buffered, wholeBytes + openBytes))
}

function join(blocks: readonly Uint8Array[], bytes: number): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(bytes)
  let at = 0
  for (const block of blocks) {
    all.set(block, at)
    at += block.length
  }
  return all
}

function chunk(bytes: Uint8Array<ArrayBuffer>): LineChunk {
  let lines = bytes.at(-1) === lineFeed ? 0 : 1
  for (let at = bytes.indexOf(lineFeed); at >= 0; at = bytes.indexOf(lineFeed, at + 1)) lines++
  return { bytes, lines }
}
