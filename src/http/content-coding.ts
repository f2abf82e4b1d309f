import { pipeline, Readable, type Transform } from 'node:stream'
import zlib from 'node:zlib'
import { KvistError } from '../core/errors.ts'
import { headerBits } from './wire/head.ts'
import type { HttpRequest } from './wire/request.ts'
import { ZstdFrames } from './zstd-frames.ts'

/** Decodes the content codings of request bodies (RFC 9110, 8.4). */

export const codings = ['zstd', 'br', 'gzip', 'deflate'] as const
export type Coding = (typeof codings)[number]

const codingsByName: Readonly<Record<string, Coding | 'identity'>> = {
  identity: 'identity',
  zstd: 'zstd',
  br: 'br',
  gzip: 'gzip',
  'x-gzip': 'gzip',
  deflate: 'deflate',
}

const codingBit = headerBits(['content-encoding'])

/** Returns the coding of a request's body; null without one. Throws `unsupported_media_type`. */
export function codingOf(request: HttpRequest): Coding | null {
  if ((request.present & codingBit) === 0) return null
  const given = request.header('content-encoding')!.toLowerCase()
  const coding = Object.hasOwn(codingsByName, given) ? codingsByName[given]! : null
  if (coding === 'identity') return null
  if (coding !== null) return coding
  throw unsupportedCoding('the body has a Content-Encoding that is not known, or several', codings.join(', '))
}

/** Throws `unsupported_media_type` when the body of a request has a coding. */
export function refuseCoding(request: HttpRequest): void {
  if (codingOf(request) === null) return
  throw unsupportedCoding(
    'a value that is not JSON is stored as it is, and would lose its Content-Encoding',
    'identity',
  )
}

/** The problem and the Accept-Encoding header of its response list the accepted codings. */
function unsupportedCoding(detail: string, accepted: string): KvistError {
  return new KvistError('unsupported_media_type', detail, { accept_encoding: accepted })
}

/** Yields the decoded parts of a body. `onPart` is called for each part that arrives. */
export function bodyParts(
  body: AsyncIterable<Uint8Array>,
  coding: Coding | null,
  onPart: (part: Uint8Array) => void,
): AsyncIterable<Uint8Array> {
  return coding === null ? noted(body, onPart) : decodedParts(noted(body, onPart), coding)
}

async function* noted(
  parts: AsyncIterable<Uint8Array>,
  onPart: (part: Uint8Array) => void,
): AsyncGenerator<Uint8Array> {
  for await (const part of parts) {
    onPart(part)
    yield part
  }
}

/**
 * Decodes a stream in constant memory. Throws `invalid_request` when it is malformed, truncated or followed by other
 * bytes, which the runtime's decoders do not all detect.
 */
async function* decodedParts(parts: AsyncIterable<Uint8Array>, coding: Coding): AsyncGenerator<Uint8Array> {
  const frames = new ZstdFrames()
  let encodedBytes = 0
  const counted = noted(parts, (part) => {
    encodedBytes += part.length
    if (coding === 'zstd') frames.push(part)
  })
  const { decoder, source } =
    coding === 'deflate' ? await deflateDecoder(counted) : { decoder: decoders[coding](), source: counted }
  pipeline(Readable.from(source), decoder, () => {}) // errors of both are thrown where the decoder is read
  try {
    for await (const part of decoder) yield part
  } catch (error) {
    throw error instanceof KvistError || Object(error).name === 'AbortError' ? error : malformed(coding)
  }
  const isWhole = coding !== 'zstd' || frames.isComplete
  if (encodedBytes === 0 || !isWhole || decoder.bytesWritten < encodedBytes) throw malformed(coding)
}

function malformed(coding: Coding): KvistError {
  return new KvistError('invalid_request', `the body is not ${coding}, or not whole`)
}

type Decoder = Transform & { readonly bytesWritten: number }

/** Larger than the default, because each chunk is a round trip to another thread. */
const options = { chunkSize: 64 * 1024 }

const decoders: Readonly<Record<Exclude<Coding, 'deflate'>, () => Decoder>> = {
  zstd: () => zlib.createZstdDecompress(options),
  br: () => zlib.createBrotliDecompress(options),
  gzip: () => zlib.createGunzip(options),
}

/**
 * Chooses the decoder of `deflate` by the first two bytes: the coding is zlib's format (RFC 9110, 8.4.1.2), but some
 * clients send the raw data inside it.
 */
async function deflateDecoder(
  parts: AsyncGenerator<Uint8Array>,
): Promise<{ decoder: Decoder; source: AsyncIterable<Uint8Array> }> {
  let begun: Uint8Array = new Uint8Array(0)
  while (begun.length < 2) {
    const part = await parts.next()
    if (part.done) break
    begun = Buffer.concat([begun, part.value])
  }
  async function* source(): AsyncGenerator<Uint8Array> {
    yield begun
    yield* parts
  }
  const [first = 0, second = 0] = begun
  const isZlib = (first & 0x0f) === 8 && (first * 256 + second) % 31 === 0
  return { decoder: isZlib ? zlib.createInflate(options) : zlib.createInflateRaw(options), source: source() }
}
