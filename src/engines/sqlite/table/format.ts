/** Says in one line why a file of another format is refused; null for the format that this kvist reads and writes. */
export function formatRefusal(path: string, format: number, own: number): string | null {
  if (format > own) return `${path} has format ${format}; this kvist reads up to ${own}: use a newer kvist`
  if (format < own)
    return `${path} has format ${format}; this kvist reads ${own}: use the kvist that wrote it`
  return null
}
