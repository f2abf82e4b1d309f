/** Bytes as rows of hexadecimal digits and characters. */

export interface HexRow {
  /** Of the first byte, with as many digits as the last one needs. */
  readonly offset: string
  /** Two digits a byte, with a gap in the middle. */
  readonly hex: string
  /** What is printable in ASCII, else a dot. */
  readonly ascii: string
}

export function rowCount(bytes: Uint8Array, bytesInRow: number): number {
  return Math.ceil(bytes.length / bytesInRow)
}

export function hexRow(bytes: Uint8Array, row: number, bytesInRow: number): HexRow {
  const from = row * bytesInRow
  const part = bytes.subarray(from, from + bytesInRow)
  const digits = Array.from(part, (byte) => byte.toString(16).padStart(2, '0'))
  const half = bytesInRow / 2
  return {
    offset: from.toString(16).padStart(offsetDigits(bytes), '0'),
    hex: [digits.slice(0, half).join(' '), digits.slice(half).join(' ')]
      .filter((text) => text !== '')
      .join('  '),
    ascii: Array.from(part, (byte) => (byte > 0x1f && byte < 0x7f ? String.fromCharCode(byte) : '.')).join(
      '',
    ),
  }
}

function offsetDigits({ length }: Uint8Array): number {
  return Math.max(4, length.toString(16).length)
}
