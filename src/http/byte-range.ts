/** Ranges of bytes that a GET asks for (RFC 9110, 14). */

export interface ByteRange {
  readonly from: number
  /** The first byte that is not in it. */
  readonly to: number
}

const form = /^bytes[\t ]*=[\t ,]*(?:(\d+)-(\d*)|-(\d+))[\t ,]*$/i

/**
 * The range that a Range header asks for of so many bytes. Null where it asks for none that is served: for several, for
 * another unit, or for nothing that can be read; then the response is whole, as it may be.
 */
export function parseByteRange(header: string, totalBytes: number): ByteRange | 'unsatisfiable' | null {
  const [matched, first = '', last = '', suffix] = form.exec(header) ?? []
  if (matched === undefined) return null
  if (suffix !== undefined) {
    const bytes = Math.min(Number(suffix), totalBytes)
    return bytes === 0 ? 'unsatisfiable' : { from: totalBytes - bytes, to: totalBytes }
  }
  const from = Number(first)
  if (last !== '' && Number(last) < from) return null
  if (from >= totalBytes) return 'unsatisfiable'
  return { from, to: last === '' ? totalBytes : Math.min(Number(last) + 1, totalBytes) }
}
