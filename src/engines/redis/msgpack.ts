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

export function packed(value: Packable): Buffer {
  length = 0
  write(value)
  const copy = Buffer.from(output.subarray(0, length))
  if (output.length > maxKeptBytes) output = Buffer.allocUnsafeSlow(64 * 1024) as Utf8Buffer
  return copy
}

function reserve(bytes: number): void {
  if (length + bytes <= output.length) return
  const larger = Buffer.allocUnsafeSlow(Math.max(2 * output.length, length + bytes)) as Utf8Buffer
  output.copy(larger, 0, 0, length)
  output = larger
}

function write(value: Packable): void {
  if (typeof value === 'number') writeNumber(value)
  else if (typeof value === 'string') writeText(value)
  else if (value instanceof Uint8Array) {
    writeHeader(value.length, 0xa0, 31, 0xda, 0xdb)
    reserve(value.length)
    output.set(value, length)
    length += value.length
  } else {
    writeHeader(value.length, 0x90, 15, 0xdc, 0xdd)
    for (const element of value) write(element)
  }
}

function writeNumber(value: number): void {
  reserve(9)
  if (value >= -32 && value < 128 && Number.isInteger(value)) {
    output[length++] = value & 0xff
    return
  }
  output[length] = 0xcb
  output.writeDoubleBE(value, length + 1)
  length += 9
}

function writeText(text: string): void {
  const bytes = Buffer.byteLength(text)
  writeHeader(bytes, 0xa0, 31, 0xda, 0xdb)
  reserve(bytes)
  output.utf8Write(text, length)
  length += bytes
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
