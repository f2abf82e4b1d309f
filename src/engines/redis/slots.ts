/** The number of hash slots of every cluster. */
export const slotCount = 16_384

/** CRC-16/XMODEM, as the cluster specification says. */
const crcTable = Uint16Array.from({ length: 256 }, (_, byte) => {
  let crc = byte << 8
  for (let bit = 0; bit < 8; bit++) crc = crc & 0x8000 ? (crc << 1) ^ 0x1021 : crc << 1
  return crc
})

/** Returns the slot of a Redis key: of its tag, the text between the first `{` and the next `}`, if that has any. */
export function slotOf(key: string): number {
  const open = key.indexOf('{')
  const close = open < 0 ? -1 : key.indexOf('}', open + 1)
  const hashed = Buffer.from(close > open + 1 ? key.slice(open + 1, close) : key)
  let crc = 0
  for (const byte of hashed) crc = ((crc << 8) & 0xffff) ^ crcTable[(crc >> 8) ^ byte]!
  return crc % slotCount
}
