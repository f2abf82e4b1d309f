import { SourceError } from '../entry.ts'
import type { DbmPair, RandomFile } from './random-file.ts'

/**
 * GNU dbm: a directory of offsets of buckets, each a hash table of offsets of keys, with the value after each key.
 * Numbers are in the order of bytes of the machine that wrote the file; that of x86 and ARM is read.
 */

interface Layout {
  /** The bytes of an offset. */
  readonly offsetBytes: 4 | 8
  /** Where, in a bucket, its table begins, after the list of free space. */
  readonly tableAt: number
  readonly elementBytes: number
}

const wide: Layout = { offsetBytes: 8, tableAt: 112, elementBytes: 24 }
const narrow: Layout = { offsetBytes: 4, tableAt: 60, elementBytes: 20 }

/** By the first four bytes. `ace` is of versions before the offsets had a size of their own. */
const layouts = new Map<number, Layout>([
  [0x13579acd, narrow],
  [0x13579ad0, narrow],
  [0x13579acf, wide],
  [0x13579ad1, wide],
  [0x13579ace, wide],
])

export function isGdbm(head: Buffer): boolean {
  return head.length >= 32 && layouts.has(head.readUInt32LE(0))
}

export function* gdbmPairs(file: RandomFile): Generator<DbmPair> {
  const head = file.head(64)
  const layout = layouts.get(head.readUInt32LE(0))!
  const { offsetBytes, tableAt, elementBytes } = layout
  const offsetAt = (bytes: Buffer, at: number) =>
    offsetBytes === 8 ? Number(bytes.readBigUInt64LE(at)) : bytes.readUInt32LE(at)
  const sizesAt = 8 + offsetBytes
  const directory = file.read(offsetAt(head, 8), head.readUInt32LE(sizesAt))
  const bucketBytes = head.readUInt32LE(sizesAt + 8)
  const elements = head.readUInt32LE(sizesAt + 12)
  if (tableAt + elements * elementBytes > bucketBytes || directory.length % offsetBytes !== 0) {
    throw new SourceError(`${file.path} is damaged: the header of the gdbm file makes no sense`)
  }
  let before = -1
  // Several entries of the directory, one after the other, may have the same bucket.
  for (let at = 0; at < directory.length; at += offsetBytes) {
    const bucketAt = offsetAt(directory, at)
    if (bucketAt === before) continue
    before = bucketAt
    const bucket = file.read(bucketAt, bucketBytes)
    for (let i = 0; i < elements; i++) {
      const element = tableAt + i * elementBytes
      if (bucket.readInt32LE(element) === -1) continue // the hash of an empty element
      const dataAt = offsetAt(bucket, element + 8)
      const keyBytes = bucket.readUInt32LE(element + 8 + offsetBytes)
      const valueBytes = bucket.readUInt32LE(element + 12 + offsetBytes)
      const data = file.read(dataAt, keyBytes + valueBytes)
      yield [data.subarray(0, keyBytes), data.subarray(keyBytes)]
    }
  }
}
