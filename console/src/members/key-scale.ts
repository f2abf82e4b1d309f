/**
 * Puts keys on a line from 0 to 1, so that one between two others can be guessed. The characters at each position are
 * taken for digits of a number in the smallest usual alphabet that has them: decimal, hexadecimal, letters and so on.
 */
export interface KeyScale {
  offsetOf(key: string): number
  keyAt(offset: number): string
}

const alphabets = [
  '0123456789',
  '0123456789abcdef',
  '0123456789ABCDEF',
  'abcdefghijklmnopqrstuvwxyz',
  'ABCDEFGHIJKLMNOPQRSTUVWXYZ',
  '0123456789abcdefghijklmnopqrstuvwxyz',
  '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz',
  Array.from({ length: 95 }, (_, at) => String.fromCharCode(32 + at)).join(''),
] as const

/** A double has no room for more. */
const maxPositions = 16

/** Returns the scale of keys like these, of which there must be two that differ. */
export function keyScale(keys: readonly string[]): KeyScale {
  const shared = sharedPrefix(keys)
  const tails = keys.map((key) => [...key.slice(shared.length)])
  const length = Math.min(maxPositions, Math.max(...tails.map((tail) => tail.length)))
  const common = usualAlphabet(tails.flat().filter((character) => /[0-9A-Za-z]/.test(character)))
  const positions = Array.from({ length }, (_, at) =>
    alphabetOf(new Set(tails.flatMap((tail) => tail[at] ?? [])), common),
  )
  return {
    offsetOf(key) {
      if (!key.startsWith(shared)) return key < shared ? 0 : 1
      let offset = 0
      let size = 1
      for (const [at, character] of [...key.slice(shared.length)].slice(0, length).entries()) {
        const alphabet = positions[at]!
        size /= alphabet.length
        offset += rankIn(alphabet, character) * size
      }
      return offset
    },
    keyAt(offset) {
      let key = shared
      let rest = Math.min(Math.max(offset, 0), 1 - Number.EPSILON)
      for (const alphabet of positions) {
        const rank = Math.floor(rest * alphabet.length)
        key += alphabet[rank]!
        rest = rest * alphabet.length - rank
      }
      return key
    },
  }
}

export function sharedPrefix(keys: readonly string[]): string {
  let shared = [...keys[0]!]
  for (const key of keys) {
    const characters = [...key]
    const end = shared.findIndex((character, at) => character !== characters[at])
    if (end !== -1) shared = shared.slice(0, end)
  }
  return shared.join('')
}

/** With so few characters seen at a position, its alphabet is taken to be that of the others. */
const fewCharacters = 6

function alphabetOf(characters: ReadonlySet<string>, common: string | undefined): readonly string[] {
  const isFew = characters.size <= fewCharacters && [...characters].every((one) => common?.includes(one))
  const usual = isFew ? common : usualAlphabet([...characters])
  return [...(usual ?? [...characters].sort(byCodePoint))]
}

function usualAlphabet(characters: readonly string[]): string | undefined {
  return alphabets.find((alphabet) => characters.every((character) => alphabet.includes(character)))
}

function byCodePoint(a: string, b: string): number {
  return a.codePointAt(0)! - b.codePointAt(0)!
}

/** Returns how many characters of an alphabet come before this one. */
function rankIn(alphabet: readonly string[], character: string): number {
  const rank = alphabet.indexOf(character)
  if (rank !== -1) return rank
  const later = alphabet.findIndex((other) => byCodePoint(other, character) > 0)
  return later === -1 ? alphabet.length : later
}
