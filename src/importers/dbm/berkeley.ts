import { SourceError } from '../entry.ts'
import type { DbmPair, RandomFile } from './random-file.ts'

/**
 * A hash of Berkeley DB, as the ndbm of Debian writes it: pages whose items are keys and values in turn. An item that
 * does not fit is in a chain of overflow pages.
 */

const magicAt = 12
const hashMagic = 0x061561
const pageBytesAt = 20

/** Offsets in the header of a page. */
const nextPageAt = 16
const entriesAt = 20
const freeAt = 22
const typeAt = 25
const headerBytes = 26

const pageTypes = { oldHash: 2, overflow: 7, hash: 13 } as const
const itemTypes = { data: 1, overflow: 3 } as const

export function isBerkeleyHash(head: Buffer): boolean {
  return head.length >= headerBytes && head.readUInt32LE(magicAt) === hashMagic
}

export function* berkeleyPairs(file: RandomFile): Generator<DbmPair> {
  const pageBytes = file.head(headerBytes).readUInt32LE(pageBytesAt)
  if (pageBytes < 512 || pageBytes > 65_536 || file.bytes % pageBytes !== 0) {
    throw new SourceError(`${file.path} is damaged: it has ${file.bytes} bytes, and pages of ${pageBytes}`)
  }
  const pages = file.bytes / pageBytes
  for (let number = 1; number < pages; number++) {
    const page = file.read(number * pageBytes, pageBytes)
    if (page[typeAt] !== pageTypes.hash && page[typeAt] !== pageTypes.oldHash) continue
    const items = itemsOf(page, file, number)
    for (let i = 0; i + 1 < items.length; i += 2) {
      yield [contentOf(items[i]!, file, pageBytes), contentOf(items[i + 1]!, file, pageBytes)]
    }
  }
}

/** Returns the items of a page: the first is at its end, and each ends where the one before begins. */
function itemsOf(page: Buffer, file: RandomFile, number: number): Buffer[] {
  const entries = page.readUInt16LE(entriesAt)
  if (headerBytes + 2 * entries > page.length) throw damaged(file, number)
  const items: Buffer[] = []
  let end = page.length
  for (let i = 0; i < entries; i++) {
    const start = page.readUInt16LE(headerBytes + 2 * i)
    if (start >= end || start < headerBytes) throw damaged(file, number)
    items.push(page.subarray(start, end))
    end = start
  }
  return items
}

function contentOf(item: Buffer, file: RandomFile, pageBytes: number): Uint8Array {
  if (item[0] === itemTypes.data) return item.subarray(1)
  if (item[0] !== itemTypes.overflow || item.length < 12) {
    throw new SourceError(`${file.path} has several values for a key, which dbm does not write`)
  }
  const totalBytes = item.readUInt32LE(8)
  const parts: Buffer[] = []
  let bytes = 0
  for (let number = item.readUInt32LE(4); number !== 0 && bytes < totalBytes; ) {
    const page = file.read(number * pageBytes, pageBytes)
    const length = page.readUInt16LE(freeAt)
    if (page[typeAt] !== pageTypes.overflow || length === 0 || headerBytes + length > pageBytes)
      throw damaged(file, number)
    parts.push(page.subarray(headerBytes, headerBytes + length))
    bytes += length
    number = page.readUInt32LE(nextPageAt)
  }
  if (bytes !== totalBytes) throw damaged(file, 0)
  return Buffer.concat(parts)
}

function damaged(file: RandomFile, page: number): SourceError {
  return new SourceError(`${file.path} is damaged: page ${page} makes no sense`)
}
