import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { SourceError } from '../entry.ts'
import { Crc64 } from './crc64.ts'
import { unpackLzf } from './lzf.ts'

const blockBytes = 1024 * 1024

/** Reads an RDB file from its beginning to its end, some at a time. */
export class RdbReader {
  readonly path: string
  readonly totalBytes: number
  private readonly descriptor: number
  private block: Buffer = Buffer.alloc(0)
  private at = 0
  private blocksBytes = 0

  constructor(path: string) {
    this.path = path
    this.descriptor = openSync(path, 'r')
    this.totalBytes = fstatSync(this.descriptor).size
  }

  get bytesRead(): number {
    return this.blocksBytes - this.block.length + this.at
  }

  close(): void {
    closeSync(this.descriptor)
  }

  /** Returns bytes, a view that stays as it is. Throws a `SourceError` if the file ends before. */
  bytes(length: number): Buffer {
    if (this.at + length > this.block.length) this.fill(length)
    this.at += length
    return this.block.subarray(this.at - length, this.at)
  }

  byte(): number {
    if (this.at === this.block.length) this.fill(1)
    return this.block[this.at++]!
  }

  /** Reads a length. An encoding, which is a string, is refused. */
  length(): number {
    const first = this.byte()
    const length = this.lengthAfter(first)
    if (length === null) this.fail('a length is expected')
    return length
  }

  /** Reads a string: bytes, an integer as its decimal text, or bytes that LZF has packed. */
  string(): Buffer {
    const first = this.byte()
    const length = this.lengthAfter(first)
    if (length !== null) return this.bytes(length)
    switch (first & 0x3f) {
      case 0:
        return Buffer.from(String(this.bytes(1).readInt8()))
      case 1:
        return Buffer.from(String(this.bytes(2).readInt16LE()))
      case 2:
        return Buffer.from(String(this.bytes(4).readInt32LE()))
      case 3: {
        const packedBytes = this.length()
        const bytes = this.length()
        // LZF packs to a 264th at best.
        if (bytes > 300 * packedBytes) this.fail('a packed string is damaged')
        return unpackLzf(this.bytes(packedBytes), bytes) ?? this.fail('a packed string is damaged')
      }
      default:
        return this.fail('a string has an unknown encoding')
    }
  }

  /** Reads a time in milliseconds, or another number of 64 bits. */
  milliseconds(): number {
    return Number(this.bytes(8).readBigInt64LE())
  }

  fail(why: string): never {
    throw new SourceError(`${this.path} is damaged near byte ${this.bytesRead}: ${why}`)
  }

  /** Returns the length that a byte begins; null if it begins an encoding. */
  private lengthAfter(first: number): number | null {
    switch (first >> 6) {
      case 0:
        return first
      case 1:
        return ((first & 0x3f) << 8) | this.byte()
      case 2:
        if (first === 0x80) return this.bytes(4).readUInt32BE()
        if (first === 0x81) return Number(this.bytes(8).readBigUInt64BE())
        return this.fail('a length has an unknown form')
      default:
        return null
    }
  }

  /** Reads so much that `length` bytes are at hand. */
  private fill(length: number): void {
    const left = this.block.subarray(this.at)
    const missing = length - left.length
    const rest = this.totalBytes - this.blocksBytes
    if (missing > rest)
      throw new SourceError(`${this.path} ends in the middle, after ${this.totalBytes} bytes`)
    const wanted = Math.min(Math.max(missing, blockBytes), rest)
    const block = Buffer.allocUnsafe(left.length + wanted)
    left.copy(block)
    if (readSync(this.descriptor, block, left.length, wanted, this.blocksBytes) !== wanted)
      throw new SourceError(`${this.path} became shorter while it was read`)
    this.block = block
    this.blocksBytes += wanted
    this.at = 0
  }
}

const checksumBytes = 8

/** Throws a `SourceError` unless the checksum at the end of the file is right, or the server was told to write none. */
export function checkRdb(path: string): void {
  const reader = new RdbReader(path)
  try {
    const head = reader.totalBytes < 9 ? '' : reader.bytes(9).toString('latin1')
    const version = Number(/^REDIS(\d{4})$/.exec(head)?.[1] ?? Number.NaN)
    if (Number.isNaN(version)) throw new SourceError(`${path} is no RDB file: it does not begin with REDIS`)
    if (version > maxVersion)
      throw new SourceError(`${path} is an RDB file of version ${version}: kvist reads up to ${maxVersion}`)
    if (version < 5) return // without a checksum
    const crc = new Crc64()
    crc.add(Buffer.from(head, 'latin1'))
    let left = reader.totalBytes - head.length - checksumBytes
    for (; left > 0; left -= Math.min(left, blockBytes)) crc.add(reader.bytes(Math.min(left, blockBytes)))
    const expected = left < 0 ? 0n : reader.bytes(checksumBytes).readBigUInt64LE()
    if (left < 0 || (expected !== 0n && expected !== crc.value))
      throw new SourceError(`${path} is damaged, or only a part of a file: its checksum does not match`)
  } finally {
    reader.close()
  }
}

/** That of Redis 8. */
const maxVersion = 13
