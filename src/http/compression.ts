import { promisify } from 'node:util'
import zlib from 'node:zlib'
import type { MaybePromise } from '../core/engine.ts'
import { type Coding, codings } from './content-coding.ts'
import { parseWeighted } from './media-types.ts'
import type { HttpRequest } from './wire/request.ts'
import type { BodyWriter, HttpResponse, ResponseBody, StreamedBody } from './wire/response.ts'

/** Compresses bodies of responses with a content coding that the client accepts (RFC 9110, 12.5.3). */

/**
 * Smaller bodies are not compressed: with their head they fit into one packet in any case, and compressing one takes as
 * long as listing its members (docs/design/http.md).
 */
const minCompressedBytes = 1024
/** A body up to this size is compressed synchronously; a larger one by another thread, which costs 50 µs per call. */
const maxSyncBytes = 32 * 1024

const { constants } = zlib

interface Encoder {
  sync(bytes: Uint8Array): Uint8Array
  async(bytes: Uint8Array): Promise<Uint8Array>
  stream(): EncoderStream
  /** The flush mode that makes a stream emit all that was written to it. */
  readonly flushMode: number
}

/** The common interface of the runtime's encoders. */
interface EncoderStream extends NodeJS.ReadWriteStream {
  flush(mode: number, callback: () => void): void
  destroy(): void
}

const zlibOptions = { level: 3 }
const brotliOptions = { params: { [constants.BROTLI_PARAM_QUALITY]: 4 } }
const zstdOptions = { params: { [constants.ZSTD_c_compressionLevel]: 3 } }

const gzip = promisify<Uint8Array, zlib.ZlibOptions, Uint8Array>(zlib.gzip)
const deflate = promisify<Uint8Array, zlib.ZlibOptions, Uint8Array>(zlib.deflate)
const brotli = promisify<Uint8Array, zlib.BrotliOptions, Uint8Array>(zlib.brotliCompress)
const zstd = promisify<Uint8Array, zlib.ZstdOptions, Uint8Array>(zlib.zstdCompress)

const encoders: Readonly<Record<Coding, Encoder>> = {
  zstd: {
    sync: (bytes) => zlib.zstdCompressSync(bytes, zstdOptions),
    async: (bytes) => zstd(bytes, zstdOptions),
    stream: () => zlib.createZstdCompress(zstdOptions),
    flushMode: constants.ZSTD_e_flush,
  },
  br: {
    sync: (bytes) => zlib.brotliCompressSync(bytes, brotliOptions),
    async: (bytes) => brotli(bytes, brotliOptions),
    stream: () => zlib.createBrotliCompress(brotliOptions),
    flushMode: constants.BROTLI_OPERATION_FLUSH,
  },
  gzip: {
    sync: (bytes) => zlib.gzipSync(bytes, zlibOptions),
    async: (bytes) => gzip(bytes, zlibOptions),
    stream: () => zlib.createGzip(zlibOptions),
    flushMode: constants.Z_SYNC_FLUSH,
  },
  deflate: {
    sync: (bytes) => zlib.deflateSync(bytes, zlibOptions),
    async: (bytes) => deflate(bytes, zlibOptions),
    stream: () => zlib.createDeflate(zlibOptions),
    flushMode: constants.Z_SYNC_FLUSH,
  },
}

let lastAccept = ''
let lastCoding: Coding | null = null

/** Returns the coding with the highest weight, the fastest among equals; null when the client prefers none. */
function acceptedCoding(acceptEncoding: string | null): Coding | null {
  if (acceptEncoding === null) return null
  if (acceptEncoding !== lastAccept) {
    lastCoding = chooseCoding(acceptEncoding, codings)
    lastAccept = acceptEncoding
  }
  return lastCoding
}

/** Returns which of these codings the client prefers, the first among equals; null when it prefers none. */
export function chooseCoding(acceptEncoding: string, among: readonly Coding[]): Coding | null {
  const weights = new Map(parseWeighted(acceptEncoding).map(({ name, weight }) => [name, weight]))
  const others = weights.get('*') ?? 0
  let best: Coding | null = null
  // An identity coding that is not named is acceptable, but says nothing about preference.
  let bestWeight = Math.max(weights.get('identity') ?? 0, Number.MIN_VALUE)
  for (const coding of among) {
    const named = coding === 'gzip' ? (weights.get('gzip') ?? weights.get('x-gzip')) : weights.get(coding)
    const weight = named ?? others
    const isBetter = best === null ? weight >= bestWeight : weight > bestWeight
    if (!isBetter) continue
    best = coding
    bestWeight = weight
  }
  return best
}

/** Compresses a response if the client accepts it. The handler sets `Vary: Accept-Encoding`, compressed or not. */
export function compressed(request: HttpRequest, response: HttpResponse): MaybePromise<HttpResponse> {
  const { body } = response
  const coding = acceptedCoding(request.header('accept-encoding'))
  if (coding === null || body === null) return response
  const encoder = encoders[coding]
  if (typeof body === 'object' && 'pull' in body)
    return encoded(response, coding, compressedStream(body, encoder))
  const isWhole = typeof body === 'string' || body instanceof Uint8Array
  if (!isWhole || body.length < minCompressedBytes) return response
  const bytes = typeof body === 'string' ? Buffer.from(body) : body
  return bytes.length <= maxSyncBytes
    ? encoded(response, coding, encoder.sync(bytes))
    : encoder.async(bytes).then((late) => encoded(response, coding, late))
}

function encoded({ status, headerBlock }: HttpResponse, coding: Coding, body: ResponseBody): HttpResponse {
  return { status, headerBlock: `${headerBlock}Content-Encoding: ${coding}\r\n`, body }
}

/** Returns a handler for a constant body, which is compressed once per coding, on the first request for that coding. */
export function compressedOnce(
  read: () => MaybePromise<string | Uint8Array>,
  respond: (body: string | Uint8Array) => HttpResponse,
): (request: HttpRequest) => Promise<HttpResponse> {
  const made = new Map<Coding, Promise<HttpResponse>>()
  return async (request) => {
    const coding = acceptedCoding(request.header('accept-encoding'))
    if (coding === null) return respond(await read())
    const making = made.get(coding) ?? respondIn(coding)
    made.set(coding, making)
    return making
  }

  async function respondIn(coding: Coding): Promise<HttpResponse> {
    const body = await read()
    const bytes = typeof body === 'string' ? Buffer.from(body) : body
    if (bytes.length < minCompressedBytes) return respond(body)
    return encoded(respond(body), coding, await encoders[coding].async(bytes))
  }
}

/**
 * Compresses a stream part by part. Each part is flushed before the next is pulled, so that only one is in memory, and
 * the client can decode each part as soon as it arrives.
 */
function compressedStream(body: StreamedBody, { stream, flushMode }: Encoder): StreamedBody {
  let encoder: EncoderStream | null = null
  /** The encoder is processing a part. */
  let isBusy = false
  let hasRoom = false

  function writerTo(to: BodyWriter, into: EncoderStream): BodyWriter {
    into.on('data', (bytes: Uint8Array) => {
      hasRoom = to.write(bytes)
    })
    into.on('end', () => to.end())
    into.on('error', (error) => to.abort(error))
    const writer: BodyWriter = {
      write(part) {
        isBusy = true
        into.write(part)
        into.flush(flushMode, () => {
          isBusy = false
          if (hasRoom) body.pull(writer)
        })
        return false
      },
      end: () => void into.end(),
      abort(error) {
        into.destroy()
        to.abort(error)
      },
    }
    return writer
  }

  let writer: BodyWriter | null = null
  return {
    pull(to) {
      hasRoom = true
      if (encoder === null) {
        encoder = stream()
        writer = writerTo(to, encoder)
      }
      if (!isBusy) body.pull(writer!)
    },
    cancel() {
      encoder?.destroy()
      body.cancel()
    },
  }
}
