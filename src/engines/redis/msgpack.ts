/**
 * Writes MessagePack, as far as the scripts read it: whole numbers, texts, bytes and arrays. Byte strings have the type
 * of texts, because a string of Lua is either.
 */

export type Packable = number | string | Uint8Array | readonly Packable[]

interface Utf8Buffer extends Buffer {
  utf8Write(text: string, offset: number): number
}

/** Shared by all, because writing is synchronous; it grows to the largest group. */
let output = Buffer.allocUnsafeSlow(64 * 1024) as Utf8Buffer
let length = 0
const maxKeptBytes = 1024 * 1024

/** Returns what `write` has written by the functions below. */
export function packedBy(write: () => void): Buffer {
  length = 0
  write()
  const copy = Buffer.from(output.subarray(0, length))
  if (output.length > maxKeptBytes) output = Buffer.allocUnsafeSlow(64 * 1024) as Utf8Buffer
  return copy
}

export function packed(value: Packable): Buffer {
  return packedBy(() => write(value))
}

function write(value: Packable): void {
  if (typeof value === 'number') writeNumber(value)
  else if (typeof value === 'string') writeText(value)
  else if (value instanceof Uint8Array) {
    writeBytesHeader(value.length)
    writeRawBytes(value)
  } else {
    writeListHeader(value.length)
    for (const element of value) write(element)
  }
}

export function writeNumber(value: number): void {
  reserve(9)
  if (value >= -32 && value < 128 && Number.isInteger(value)) {
    output[length++] = value & 0xff
    return
  }
  output[length++] = 0xcb
  writeRawDouble(value)
}

export function writeText(text: string): void {
  const bytes = Buffer.byteLength(text)
  writeBytesHeader(bytes)
  writeRawText(text, bytes)
}

/** A list of as many elements follows. */
export function writeListHeader(count: number): void {
  writeHeader(count, 0x90, 15, 0xdc, 0xdd)
}

/** A text or a byte string of this length follows, written raw. */
export function writeBytesHeader(bytes: number): void {
  writeHeader(bytes, 0xa0, 31, 0xda, 0xdb)
}

export function writeRawText(text: string, bytes: number): void {
  reserve(bytes)
  output.utf8Write(text, length)
  length += bytes
}

export function writeRawBytes(bytes: Uint8Array): void {
  reserve(bytes.length)
  output.set(bytes, length)
  length += bytes.length
}

/** Writes a whole number of 2, 4 or 8 bytes, or a double, in big-endian order. */
export function writeRawUint16(value: number): void {
  reserve(2)
  length = output.writeUInt16BE(value, length)
}

export function writeRawUint32(value: number): void {
  reserve(4)
  length = output.writeUInt32BE(value, length)
}

export function writeRawDouble(value: number): void {
  reserve(8)
  length = output.writeDoubleBE(value, length)
}

function reserve(bytes: number): void {
  if (length + bytes <= output.length) return
  const larger = Buffer.allocUnsafeSlow(Math.max(2 * output.length, length + bytes)) as Utf8Buffer
  output.copy(larger, 0, 0, length)
  output = larger
}

/** The type with the length in it, or followed by two or four bytes of length. */
function writeHeader(count: number, tiny: number, maxTiny: number, short: number, long: number): void {
  reserve(5)
  if (count <= maxTiny) {
    output[length++] = tiny + count
  } else if (count < 65_536) {
    output[length] = short
    output.writeUInt16BE(count, length + 1)
    length += 3
  } else {
    output[length] = long
    output.writeUInt32BE(count, length + 1)
    length += 5
  }
}
