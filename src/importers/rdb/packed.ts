/**
 * The packed forms of small collections: listpacks, ziplists, and integers alone. Numbers come as their decimal text, as Redis
 * returns them. A form that is damaged throws a `RangeError`.
 */

/** A listpack: 6 bytes of header, elements each with their size after them, 0xff. */
export function* listpackElements(bytes: Buffer): Generator<Buffer> {
  let at = 6
  while (bytes[at] !== 0xff) {
    const [element, end] = listpackElement(bytes, at)
    yield element
    at = end + backwardBytes(end - at)
  }
}

function listpackElement(bytes: Buffer, at: number): readonly [Buffer, number] {
  const code = bytes.readUInt8(at)
  if (code < 0x80) return [text(code), at + 1]
  if (code < 0xc0) return slice(bytes, at + 1, code & 0x3f)
  if (code < 0xe0) {
    const value = ((code & 0x1f) << 8) | bytes.readUInt8(at + 1)
    return [text(value < 1 << 12 ? value : value - (1 << 13)), at + 2]
  }
  if (code < 0xf0) return slice(bytes, at + 2, ((code & 0x0f) << 8) | bytes.readUInt8(at + 1))
  switch (code) {
    case 0xf0:
      return slice(bytes, at + 5, bytes.readUInt32LE(at + 1))
    case 0xf1:
      return [text(bytes.readInt16LE(at + 1)), at + 3]
    case 0xf2:
      return [text(bytes.readIntLE(at + 1, 3)), at + 4]
    case 0xf3:
      return [text(bytes.readInt32LE(at + 1)), at + 5]
    case 0xf4:
      return [text(bytes.readBigInt64LE(at + 1)), at + 9]
    default:
      throw new RangeError('a listpack is damaged')
  }
}

/** Returns how many bytes the size of an element of so many bytes takes. */
function backwardBytes(length: number): number {
  if (length < 128) return 1
  if (length < 16_384) return 2
  if (length < 2_097_152) return 3
  return length < 268_435_456 ? 4 : 5
}

/** A ziplist: 10 bytes of header, elements each with the size of the one before, 0xff. */
export function* ziplistElements(bytes: Buffer): Generator<Buffer> {
  let at = 10
  while (bytes[at] !== 0xff) {
    at += bytes.readUInt8(at) === 0xfe ? 5 : 1
    const [element, end] = ziplistElement(bytes, at)
    yield element
    at = end
  }
}

function ziplistElement(bytes: Buffer, at: number): readonly [Buffer, number] {
  const code = bytes.readUInt8(at)
  if (code < 0x40) return slice(bytes, at + 1, code)
  if (code < 0x80) return slice(bytes, at + 2, ((code & 0x3f) << 8) | bytes.readUInt8(at + 1))
  if (code === 0x80) return slice(bytes, at + 5, bytes.readUInt32BE(at + 1))
  if (code > 0xf0 && code < 0xfe) return [text((code & 0x0f) - 1), at + 1]
  switch (code) {
    case 0xc0:
      return [text(bytes.readInt16LE(at + 1)), at + 3]
    case 0xd0:
      return [text(bytes.readInt32LE(at + 1)), at + 5]
    case 0xe0:
      return [text(bytes.readBigInt64LE(at + 1)), at + 9]
    case 0xf0:
      return [text(bytes.readIntLE(at + 1, 3)), at + 4]
    case 0xfe:
      return [text(bytes.readInt8(at + 1)), at + 2]
    default:
      throw new RangeError('a ziplist is damaged')
  }
}

/** A set of integers: their size, their number, and they. */
export function* intsetElements(bytes: Buffer): Generator<Buffer> {
  const size = bytes.readUInt32LE(0)
  const count = bytes.readUInt32LE(4)
  if (![2, 4, 8].includes(size)) throw new RangeError('a set of integers is damaged')
  for (let i = 0; i < count; i++) {
    const at = 8 + i * size
    yield text(size === 8 ? bytes.readBigInt64LE(at) : bytes.readIntLE(at, size))
  }
}

/** Yields elements in pairs. */
export function* inPairs(elements: Iterable<Buffer>): Generator<readonly [Buffer, Buffer]> {
  let first: Buffer | null = null
  for (const element of elements) {
    if (first === null) first = element
    else {
      yield [first, element]
      first = null
    }
  }
}

function slice(bytes: Buffer, from: number, length: number): readonly [Buffer, number] {
  if (from + length > bytes.length) throw new RangeError('a packed collection is damaged')
  return [bytes.subarray(from, from + length), from + length]
}

function text(value: number | bigint): Buffer {
  return Buffer.from(String(value))
}
