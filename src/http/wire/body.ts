import { KvistError } from '../../core/errors.ts'
import { collectGarbage, garbageMeter } from '../../runtime/garbage.ts'
import { ChunkedDecoder } from './chunked.ts'

/** Callbacks of a body to its connection. */
export interface BodySource {
  /** Called when reading starts: sends `100 Continue` to a client that waits for it. */
  pull(): void
  /** Called when the buffered parts have been read, so that the socket can be read again. */
  taken(): void
}

const nothing = Buffer.alloc(0)

/** Longer bodies arrive in more than one piece in any case. */
const maxTextBytes = 64 * 1024

/** Bodies that arrive in parts leave garbage more quickly than a collection beside this thread would find it. */
const garbage = garbageMeter(64 * 1024 * 1024, collectGarbage)

/** The body of a request while it arrives. It can be read once, in one piece or in parts. */
export class RequestBody implements AsyncIterable<Uint8Array> {
  /** The declared Content-Length; null with chunked coding. */
  readonly declaredBytes: number | null
  /** The whole body has arrived. */
  isComplete: boolean
  /** Bytes that have not arrived yet; infinite with chunked coding until the last chunk. */
  comingBytes: number
  /** Bytes that arrived and were not read yet. */
  heldBytes = 0
  private readonly source: BodySource
  private readonly chunks: ChunkedDecoder | null
  private held: Buffer[] = []
  /** The body when it arrived whole: a range of the input buffer, not copied. */
  private piece: { readonly bytes: Buffer; readonly from: number; readonly to: number } | null = null
  private isIgnored = false
  private error: Error | null = null
  private wake: (() => void) | null = null

  constructor(declaredBytes: number | null, source: BodySource) {
    this.declaredBytes = declaredBytes
    this.comingBytes = declaredBytes ?? Number.POSITIVE_INFINITY
    this.isComplete = declaredBytes === 0
    this.chunks = declaredBytes === null ? new ChunkedDecoder() : null
    this.source = source
  }

  /** Sets the whole body to a range of the input buffer. */
  set(bytes: Buffer, from: number, to: number): void {
    this.piece = { bytes, from, to }
    this.heldBytes = to - from
    this.comingBytes = 0
    this.isComplete = true
  }

  /**
   * Takes the bytes that belong to the body and returns the rest. Throws `invalid_request` when the chunked coding is
   * malformed.
   */
  feed(bytes: Buffer): Buffer {
    if (this.chunks !== null) return this.feedChunks(this.chunks, bytes)
    if (bytes.length < this.comingBytes) {
      this.comingBytes -= bytes.length
      this.hold(bytes)
      this.notify()
      return nothing
    }
    const end = this.comingBytes
    this.comingBytes = 0
    this.isComplete = true
    this.hold(bytes.length === end ? bytes : bytes.subarray(0, end))
    this.notify()
    return bytes.length === end ? nothing : bytes.subarray(end)
  }

  /**
   * Makes reading throw `error`, because the rest of the body will not arrive. Does nothing when the body is complete.
   */
  fail(error: Error): void {
    if (this.isComplete) return
    this.error = error
    this.notify()
  }

  /** Drops what is buffered of the body, and its rest as it arrives. */
  ignore(): void {
    this.isIgnored = true
    this.held = []
    this.piece = null
    this.heldBytes = 0
  }

  /**
   * Returns the whole body as text when it arrived in one piece and is UTF-8. Null does not mean that it is not UTF-8:
   * a long body, or one that contains U+FFFD, is not checked.
   */
  takeText(maxBytes: number): string | null {
    const { piece } = this
    if (piece === null || this.heldBytes > Math.min(maxBytes, maxTextBytes)) return null
    const text = piece.bytes.toString('utf8', piece.from, piece.to)
    if (text.includes('\ufffd')) return null
    this.piece = null
    this.heldBytes = 0
    return text
  }

  /** Returns the whole body when it has arrived; null when it has not, or is longer than `maxBytes`. */
  takeWhole(maxBytes: number): Uint8Array | null {
    if (!this.isComplete || this.heldBytes > maxBytes) return null
    this.unfold()
    const { held } = this
    if (held.length === 0) return nothing
    this.held = []
    this.heldBytes = 0
    return held.length === 1 ? held[0]! : Buffer.concat(held)
  }

  /** Yields the parts as they arrive. Throws when the rest of the body will not arrive. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    this.source.pull()
    this.unfold()
    for (;;) {
      if (this.held.length > 0) {
        const parts = this.held
        this.held = []
        this.heldBytes = 0
        this.source.taken()
        yield* parts
      } else if (this.isComplete) {
        return
      } else if (this.error !== null) {
        throw this.error
      } else {
        await new Promise<void>((resolve) => {
          this.wake = resolve
        })
      }
    }
  }

  private feedChunks(chunks: ChunkedDecoder, bytes: Buffer): Buffer {
    const decoded = chunks.decode(bytes)
    if (typeof decoded === 'string') {
      const broken = new KvistError('invalid_request', `the chunked body cannot be read: ${decoded}`)
      this.fail(broken)
      throw broken
    }
    this.hold(decoded.data)
    this.isComplete = chunks.isComplete
    if (this.isComplete) this.comingBytes = 0
    this.notify()
    return bytes.subarray(decoded.taken)
  }

  private unfold(): void {
    if (this.piece === null) return
    const { bytes, from, to } = this.piece
    this.piece = null
    this.held.push(bytes.subarray(from, to))
  }

  private hold(part: Buffer): void {
    if (part.length === 0) return
    garbage.add(part.length)
    if (this.isIgnored) return
    this.held.push(part)
    this.heldBytes += part.length
  }

  private notify(): void {
    this.wake?.()
    this.wake = null
  }
}
