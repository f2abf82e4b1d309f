import { createHash } from 'node:crypto'

/**
 * The file format of a backup. It is written and read as a stream:
 *
 *   magic   16 bytes, `kvist backup 1`, a line feed and a zero; the number is the format
 *   HEAD    the manifest, as JSON that is not compressed
 *   PART    number 1 and following: each 4 MiB of the tables' file (`kvist.db`) in zstd, in order, the last one shorter
 *   TAIL    {parts, bytes, digest}: how many parts there were, the size of the tables' file, and the digest of all bytes
 *           before this frame. Nothing follows it, so that a backup that was cut off is not taken for a whole one.
 *
 * A frame is a header of 48 bytes and what it stores: the tag (4 bytes), the stored bytes, the bytes before compression
 * and the frame's number (32 bits each, little-endian), then the SHA-256 of these 16 bytes and of what is stored.
 */
export const backupFormat = 1
export const magic = Buffer.from(`kvist backup ${backupFormat}\n\0`)

/** How much of the tables' file is in a part. */
export const partBytes = 4 * 1024 * 1024

export type FrameTag = 'HEAD' | 'PART' | 'TAIL'

export interface Frame {
  readonly tag: FrameTag
  readonly number: number
  /** Size before compression. */
  readonly rawBytes: number
  readonly stored: Uint8Array
}

/** The most bytes that a frame stores. Incompressible bytes get a little longer in zstd. */
export const maxStoredBytes: Readonly<Record<FrameTag, number>> = {
  HEAD: 16 * 1024 * 1024,
  PART: partBytes + 64 * 1024,
  TAIL: 64 * 1024,
}

export const frameHeaderBytes = 48
const digestAt = 16

/** What a backup says of itself in its first frame. Names are those of the JSON. */
export interface Manifest {
  readonly format: number
  /** The version of kvist that wrote it. */
  readonly kvist: string
  readonly store_id: string
  readonly node_id: string
  /** The store is as it was after this revision, and before the next one. */
  readonly revision: number
  /** RFC 3339. */
  readonly taken_at: string
  readonly tables: { readonly format: number; readonly page_bytes: number; readonly pages: number }
  readonly members: number
  readonly tombstones: number
  /** Bytes of keys and values. */
  readonly bytes: number
  readonly collection_count: number
  /** Counts by collection, of the first ones by name where there are more than `maxListedCollections`. */
  readonly collections: readonly CollectionCount[]
}

export interface CollectionCount {
  readonly name: string
  readonly members: number
  readonly bytes: number
}

export const maxListedCollections = 10_000

/** What the last frame says of those before it. */
export interface Tail {
  readonly parts: number
  readonly bytes: number
  /** SHA-256 of all bytes of the backup before this frame, in hexadecimal. */
  readonly digest: string
}

/** Thrown for a file that is not a whole backup; the message says why in one line. */
export class RefusedBackup extends Error {}

/** Returns the header of a frame; what it stores follows it. */
function frameHeader({ tag, number, rawBytes, stored }: Frame): Uint8Array {
  const header = Buffer.alloc(frameHeaderBytes)
  header.write(tag, 'latin1')
  header.writeUInt32LE(stored.length, 4)
  header.writeUInt32LE(rawBytes, 8)
  header.writeUInt32LE(number, 12)
  frameDigest(header, stored).copy(header, digestAt)
  return header
}

export function frameDigest(header: Uint8Array, stored: Uint8Array): Buffer {
  return createHash('sha256').update(header.subarray(0, digestAt)).update(stored).digest()
}

/** Encodes frames and their digest, in the order of the file. */
export interface Encoder {
  /** The beginning of the file, with the manifest. */
  head(manifest: Manifest): Uint8Array[]
  part(raw: Uint8Array, compressed: Uint8Array): Uint8Array[]
  tail(): Uint8Array[]
}

export function encoder(): Encoder {
  const digest = createHash('sha256')
  let parts = 0
  let bytes = 0
  function frame(tag: FrameTag, number: number, rawBytes: number, stored: Uint8Array): Uint8Array[] {
    return [frameHeader({ tag, number, rawBytes, stored }), stored]
  }
  function counted(written: Uint8Array[]): Uint8Array[] {
    for (const one of written) digest.update(one)
    return written
  }
  return {
    head(manifest) {
      const stored = Buffer.from(JSON.stringify(manifest))
      return counted([magic, ...frame('HEAD', 0, stored.length, stored)])
    },
    part(raw, compressed) {
      parts++
      bytes += raw.length
      return counted(frame('PART', parts, raw.length, compressed))
    },
    tail() {
      const tail: Tail = { parts, bytes, digest: digest.digest('hex') }
      const stored = Buffer.from(JSON.stringify(tail))
      return frame('TAIL', parts + 1, stored.length, stored)
    },
  }
}
