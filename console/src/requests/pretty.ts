/** Returns a JSON text with line breaks and indents; numbers and texts stay as they are written. Null for what is no JSON. */
export function pretty(text: string): string | null {
  try {
    JSON.parse(text)
  } catch {
    return null
  }
  let made = ''
  let depth = 0
  const indent = () => `\n${'  '.repeat(depth)}`
  for (const [token] of text.matchAll(/"(?:[^"\\]|\\.)*"|[[\]{},:]|[^\s[\]{},:"]+/g)) {
    const last = made.at(-1)
    const isEmpty = (token === ']' || token === '}') && (last === '[' || last === '{')
    if (token === ']' || token === '}') {
      depth--
      made += isEmpty ? token : indent() + token
      continue
    }
    if (last === '[' || last === '{') made += indent()
    made += token === ':' ? ': ' : token
    if (token === ',') made += indent()
    if (token === '[' || token === '{') depth++
  }
  return made
}
