import { createHash } from 'node:crypto'
import {
  type Frame,
  type FrameTag,
  frameDigest,
  frameHeaderBytes,
  type Manifest,
  magic,
  maxStoredBytes,
  partBytes,
  RefusedBackup,
} from './format.ts'
import { parseManifest, parseTail } from './manifest.ts'

/** Reads a backup from a stream of bytes, and verifies all of it. */

/** What a backup consists of, in its order; the `part`s are the tables' file. */
export type Piece =
  | { readonly is: 'manifest'; readonly manifest: Manifest }
  | { readonly is: 'part'; readonly bytes: Uint8Array }

/**
 * Yields the manifest, then the parts of the tables' file, each verified. It returns only after the last frame, when the
 * backup is known to be whole; until then nothing that was yielded may be relied upon. Throws RefusedBackup.
 */
export async function* readPieces(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Piece> {
  const input = exactReader(chunks)
  const digest = createHash('sha256')
  await readMagic(input, digest)
  const manifest = await readHead(input, digest)
  yield { is: 'manifest', manifest }

  const expectedBytes = manifest.tables.pages * manifest.tables.page_bytes
  let bytes = 0
  let parts = 0
  for (;;) {
    const before = digest.copy()
    const frame = await readFrame(input, digest)
    if (frame.tag === 'TAIL') {
      const tail = parseTail(frame.stored)
      const isLast = frame.number === parts + 1 && tail.parts === parts && tail.bytes === bytes
      if (!isLast || bytes !== expectedBytes || tail.digest !== before.digest('hex'))
        throw damaged('its end does not match what is before it')
      break
    }
    parts++
    if (frame.tag !== 'PART' || frame.number !== parts) throw damaged(`part ${parts} is not in its place`)
    const raw = unpack(frame)
    bytes += raw.length
    const isFull = raw.length === partBytes || bytes === expectedBytes
    if (raw.length === 0 || !isFull) throw damaged(`part ${parts} has another size than it should`)
    yield { is: 'part', bytes: raw }
  }
  if ((await input.read(1)) !== null) throw damaged('something follows its end')
}

/** Reads the manifest, and no more. Throws RefusedBackup. */
export async function readManifestOf(chunks: AsyncIterable<Uint8Array>): Promise<Manifest> {
  const input = exactReader(chunks)
  const digest = createHash('sha256')
  await readMagic(input, digest)
  return readHead(input, digest)
}

type Hash = ReturnType<typeof createHash>

async function readMagic(input: ExactReader, digest: Hash): Promise<void> {
  const found = await input.read(magic.length)
  if (found === null) throw new RefusedBackup('it is no backup of kvist: it is empty or very short')
  if (!magic.equals(found)) {
    const format = /^kvist backup (\d+)\n/.exec(Buffer.from(found).toString('latin1'))?.[1]
    throw new RefusedBackup(
      format === undefined
        ? 'it is no backup of kvist'
        : `it is a backup of format ${format}, which this version of kvist does not read: use a newer one`,
    )
  }
  digest.update(found)
}

async function readHead(input: ExactReader, digest: Hash): Promise<Manifest> {
  const head = await readFrame(input, digest)
  if (head.tag !== 'HEAD' || head.number !== 0) throw damaged('its manifest is not in its place')
  return parseManifest(head.stored)
}

const tags: ReadonlySet<string> = new Set<FrameTag>(['HEAD', 'PART', 'TAIL'])

function isTag(text: string): text is FrameTag {
  return tags.has(text)
}

async function readFrame(input: ExactReader, digest: Hash): Promise<Frame> {
  const header = Buffer.from(await needed(input, frameHeaderBytes))
  const tag = header.toString('latin1', 0, 4)
  const storedBytes = header.readUInt32LE(4)
  if (!isTag(tag) || storedBytes > maxStoredBytes[tag]) throw damaged('the header of a frame is not one')
  const stored = await needed(input, storedBytes)
  if (!frameDigest(header, stored).equals(header.subarray(16)))
    throw damaged(`the digest of ${tag} ${header.readUInt32LE(12)} does not match`)
  digest.update(header).update(stored)
  return { tag, number: header.readUInt32LE(12), rawBytes: header.readUInt32LE(8), stored }
}

async function needed(input: ExactReader, bytes: number): Promise<Uint8Array> {
  const found = await input.read(bytes)
  if (found === null) throw damaged('it ends too early')
  return found
}

function unpack({ number, rawBytes, stored }: Frame): Uint8Array {
  if (rawBytes > partBytes) throw damaged(`part ${number} is too large`)
  try {
    const raw = Bun.zstdDecompressSync(stored)
    if (raw.length === rawBytes) return raw
  } catch {
    // The error below says it.
  }
  throw damaged(`part ${number} cannot be decompressed`)
}

function damaged(what: string): RefusedBackup {
  return new RefusedBackup(`it is damaged or cut off: ${what}`)
}

interface ExactReader {
  /** Returns exactly this many bytes; null at the end of the input, or when fewer are left. */
  read(bytes: number): Promise<Uint8Array | null>
}

function exactReader(chunks: AsyncIterable<Uint8Array>): ExactReader {
  const iterator = chunks[Symbol.asyncIterator]()
  let waiting: Uint8Array[] = []
  let waitingBytes = 0
  return {
    async read(bytes) {
      while (waitingBytes < bytes) {
        const next = await iterator.next()
        if (next.done === true) return null
        waiting.push(next.value)
        waitingBytes += next.value.length
      }
      const all = waiting.length === 1 ? waiting[0]! : Buffer.concat(waiting)
      waiting = all.length > bytes ? [all.subarray(bytes)] : []
      waitingBytes -= bytes
      return all.subarray(0, bytes)
    },
  }
}
