import { pageBytes } from './page-format.ts'

/**
 * The bytes of a page as Latin-1, decoded at the first use: one call for all of its rows, where decoding each text alone
 * takes most of a list's time. Only slices of ASCII are the texts that the page holds.
 */
export class PageText {
  private bytes: Buffer = Buffer.alloc(0)
  private base = 0
  private text: string | null = null

  moveTo(bytes: Buffer, base: number): void {
    this.bytes = bytes
    this.base = base
    this.text = null
  }

  slice(from: number, to: number): string {
    const text = this.text ?? this.bytes.toString('latin1', this.base, this.base + pageBytes)
    this.text = text
    return text.slice(from - this.base, to - this.base)
  }
}
