/**
 * Says in one line why a file of another format is refused; null for the format that this kvist reads and writes. `needed` is the
 * version of kvist that a newer file asks for, where it does.
 */
export function formatRefusal(
  path: string,
  format: number,
  own: number,
  needed: string | null = null,
): string | null {
  if (format > own) {
    const kvist = needed === null ? 'a newer kvist' : `kvist ${needed} or a newer one`
    return `${path} has format ${format}; this kvist reads up to ${own}: use ${kvist}`
  }
  if (format < own)
    return `${path} has format ${format}; this kvist reads ${own}: use the kvist that wrote it`
  return null
}
