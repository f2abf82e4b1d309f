/** Keys in the order of the server: by their UTF-8 bytes, which is that of their code points. */

export function compareKeys(a: string, b: string): number {
  if (a === b) return 0
  const length = Math.min(a.length, b.length)
  for (let at = 0; at < length; at++) {
    const left = a.charCodeAt(at)
    const right = b.charCodeAt(at)
    if (left !== right) return rankOfUnit(left) < rankOfUnit(right) ? -1 : 1
  }
  return a.length < b.length ? -1 : 1
}

/** Halves of surrogate pairs stand for code points that follow U+FFFF. */
function rankOfUnit(unit: number): number {
  return unit >= 0xd800 && unit < 0xe000 ? unit + 0x10000 : unit
}

/** Returns the first key after all keys that begin with a prefix; null if there is none. */
export function prefixEnd(prefix: string): string | null {
  const points = Array.from(prefix, (character) => character.codePointAt(0)!)
  while (points.length > 0) {
    const last = points.pop()!
    // U+E000 follows U+D7FF: the surrogates between them are not characters.
    if (last < 0x10ffff) return String.fromCodePoint(...points, last === 0xd7ff ? 0xe000 : last + 1)
  }
  return null
}

/** Returns whether a key matches a wildcard pattern: `*` is any run of characters, `?` is one, a backslash escapes. */
export function globMatcher(pattern: string): (key: string) => boolean {
  const source = pattern.replace(/\\[\s\S]|[\s\S]/gu, (token) => {
    if (token === '*') return '[\\s\\S]*'
    if (token === '?') return '[\\s\\S]'
    const character = token.length > 1 && token.startsWith('\\') ? token.slice(1) : token
    return character.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&')
  })
  const expression = new RegExp(`^${source}$`, 'u')
  return (key) => expression.test(key)
}
