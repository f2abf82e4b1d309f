/** The CRC-64 of RDB files, that of Jones, bit by bit from the lowest: in two halves of 32 bits, which are quicker than BigInt. */

const low = new Uint32Array(256)
const high = new Uint32Array(256)
const polynomial = 0x95ac9329ac4bc9b5n
for (let byte = 0; byte < 256; byte++) {
  let crc = BigInt(byte)
  for (let bit = 0; bit < 8; bit++) crc = crc & 1n ? (crc >> 1n) ^ polynomial : crc >> 1n
  low[byte] = Number(crc & 0xffff_ffffn)
  high[byte] = Number(crc >> 32n)
}

export class Crc64 {
  private low = 0
  private high = 0

  add(bytes: Uint8Array): void {
    let l = this.low
    let h = this.high
    for (let i = 0; i < bytes.length; i++) {
      const index = (l ^ bytes[i]!) & 0xff
      l = ((l >>> 8) | (h << 24)) ^ low[index]!
      h = (h >>> 8) ^ high[index]!
    }
    this.low = l >>> 0
    this.high = h >>> 0
  }

  get value(): bigint {
    return (BigInt(this.high) << 32n) | BigInt(this.low)
  }
}
