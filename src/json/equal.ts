import { rawElements, rawMembers } from './scan.ts'

/**
 * Returns whether two JSON texts are equal values (RFC 6902, 4.6): objects in any order of their members, strings
 * however they are escaped, numbers by their exact value, beyond the precision of a double. Exponents of more than 15
 * digits are compared only as text. `JSON.parse` must have accepted both texts. `onCompare` is called with the depth of
 * recursion and the length of all text that is parsed; it may throw to end the comparison.
 */
export function isEqualJson(
  a: string,
  b: string,
  onCompare: (depth: number, characters: number) => void,
): boolean {
  return isEqualAt(a.trim(), b.trim(), 0, onCompare)
}

type OnCompare = Parameters<typeof isEqualJson>[2]

function isEqualAt(a: string, b: string, depth: number, onCompare: OnCompare): boolean {
  if (a === b) return true
  const kind = kindOf(a)
  if (kind !== kindOf(b)) return false
  onCompare(depth, a.length + b.length)
  if (kind === 'array') {
    const others = rawElements(b)
    const own = rawElements(a)
    return (
      own.length === others.length && own.every((one, i) => isEqualAt(one, others[i]!, depth + 1, onCompare))
    )
  }
  if (kind === 'object') {
    const others = rawMembers(b)
    const own = rawMembers(a)
    if (own.size !== others.size) return false
    for (const [name, one] of own) {
      const other = others.get(name)
      if (other === undefined || !isEqualAt(one, other, depth + 1, onCompare)) return false
    }
    return true
  }
  if (kind === 'string') return JSON.parse(a) === JSON.parse(b)
  // The remaining kinds are true, false and null, which are equal only as texts.
  return kind === 'number' && decimal(a) === decimal(b)
}

const kinds: Readonly<Record<string, 'object' | 'array' | 'string' | 'word'>> = {
  '{': 'object',
  '[': 'array',
  '"': 'string',
  t: 'word',
  f: 'word',
  n: 'word',
}

function kindOf(text: string): 'object' | 'array' | 'string' | 'word' | 'number' {
  return kinds[text.charAt(0)] ?? 'number'
}

/** Returns a number as its digits without zeros at either end, and the power of ten to multiply them by. */
function decimal(text: string): string {
  const [, sign = '', whole = '', fraction = '', exponent = '0'] =
    /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(text) ?? []
  const all = whole + fraction
  let start = 0
  while (all[start] === '0') start++
  if (start === all.length) return '0'
  if (exponent.length > 16) return text
  let end = all.length
  while (all[end - 1] === '0') end--
  return `${sign}${all.slice(start, end)}e${Number(exponent) - fraction.length + (all.length - end)}`
}
