/** Returns what LZF has packed; null if the input is not the packing of so many bytes. */
export function unpackLzf(packed: Uint8Array, bytes: number): Buffer | null {
  const unpacked = Buffer.alloc(bytes)
  let to = 0
  let from = 0
  while (from < packed.length) {
    const control = packed[from++]!
    if (control < 32) {
      const length = control + 1
      if (from + length > packed.length || to + length > bytes) return null
      unpacked.set(packed.subarray(from, from + length), to)
      from += length
      to += length
      continue
    }
    let length = (control >> 5) + 2
    if (length === 9) length += packed[from++]!
    let reference = to - ((control & 31) << 8) - packed[from++]! - 1
    if (from > packed.length || !(reference >= 0) || to + length > bytes) return null
    // Byte by byte: what is copied may be what was copied just before.
    for (let i = 0; i < length; i++) unpacked[to++] = unpacked[reference++]!
  }
  return to === bytes ? unpacked : null
}
