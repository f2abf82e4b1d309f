/** Parses byte ranges of GET requests (RFC 9110, 14). */

export interface ByteRange {
  readonly from: number
  /** Exclusive. */
  readonly to: number
}

const form = /^bytes[\t ]*=[\t ,]*(?:(\d+)-(\d*)|-(\d+))[\t ,]*$/i

/**
 * Returns the range of a Range header within `totalBytes`. Null for several ranges, another unit or a malformed header;
 * the response is then the whole value, as the RFC allows.
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
