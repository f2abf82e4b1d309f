import { KvistError } from './errors.ts'
import { maxCollectionBytes, maxKeyBytes } from './limits.ts'

/** Parses the names that clients give, and compares keys by their UTF-8 bytes. */

/** Returns the text if it can be a key, 1 to 512 bytes of UTF-8. Throws `invalid_key` otherwise. */
export function parseKey(text: string): string {
  if (text === '') throw new KvistError('invalid_key', 'the key is empty')
  if (!text.isWellFormed()) throw new KvistError('invalid_key', 'the key is not UTF-8')
  if (text.length > maxKeyBytes || (text.length * 3 > maxKeyBytes && Buffer.byteLength(text) > maxKeyBytes)) {
    throw new KvistError('invalid_key', `the key has more than ${maxKeyBytes} bytes`, {
      limit_bytes: maxKeyBytes,
    })
  }
  return text
}

/**
 * Returns the text if it can name a collection: 1 to 128 bytes of UTF-8, not beginning with `_` (reserved for kvist),
 * without `/` and control characters, and neither `.` nor `..`, which a URL cannot carry. Throws `invalid_collection`
 * otherwise.
 */
export function parseCollection(text: string): string {
  if (text === lastGood) return lastGood
  const wrong = collectionFault(text)
  if (wrong !== null) throw new KvistError('invalid_collection', `the collection's name ${wrong}`)
  lastGood = text
  return text
}

/**
 * The name parsed last. Most requests name the same collection as the one before and get this very string, which is
 * quick to compare.
 */
let lastGood: string | undefined

/** Returns whether a collection is kvist's own: clients cannot name it and do not see it. */
export function isOwnCollection(name: string): boolean {
  return name.startsWith('_')
}

/** Valid names seen so far; a server sees the same few over and over. */
const goodNames = new Set<string>()
const maxGoodNames = 1000

function collectionFault(text: string): string | null {
  if (goodNames.has(text)) return null
  if (text === '') return 'is empty'
  if (isOwnCollection(text)) return "begins with _, which is kept for kvist's own"
  if (text === '.' || text === '..') return 'is a path step, which URLs cannot carry'
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
  if (/[\x00-\x1f\x7f/]/.test(text)) return 'has a slash or a control character'
  if (!text.isWellFormed()) return 'is not UTF-8'
  if (Buffer.byteLength(text) > maxCollectionBytes) return `has more than ${maxCollectionBytes} bytes`
  if (goodNames.size < maxGoodNames) goodNames.add(text)
  return null
}

/** Returns a string that JavaScript orders, by UTF-16 units, as the key is ordered by its UTF-8 bytes. */
export function sortKey(key: string): string {
  return isAscii(key) ? key : Buffer.from(key).toString('latin1')
}

/** Returns the key that a `sortKey` was made from. */
export function keyOfSortKey(text: string): string {
  return isAscii(text) ? text : Buffer.from(text, 'latin1').toString()
}

/** For texts as short as most keys a loop takes a fifth of the time of a regular expression. */
function isAscii(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) > 0x7f) return false
  return true
}

export function compareKeys(a: string, b: string): number {
  if (a === b) return 0
  return sortKey(a) < sortKey(b) ? -1 : 1
}

/** Returns the first key after this one. */
export function keyAfter(key: string): string {
  return `${key}\0`
}

/** Returns the first key after all keys that begin with a prefix; null if there is none. */
export function prefixEnd(prefix: string): string | null {
  const last = prefix.charCodeAt(prefix.length - 1)
  if (last < 0x7f) return prefix.slice(0, -1) + String.fromCharCode(last + 1)
  const points = Array.from(prefix, (character) => character.codePointAt(0)!)
  while (points.length > 0) {
    const last = points.pop()!
    if (last === 0x10ffff) continue
    // Skip the surrogates, which are not characters: U+E000 follows U+D7FF.
    return String.fromCodePoint(...points, last === 0xd7ff ? 0xe000 : last + 1)
  }
  return null
}

export function laterKey(a: string | null, b: string | null): string | null {
  if (a === null || b === null) return a ?? b
  return compareKeys(a, b) >= 0 ? a : b
}

export function earlierKey(a: string | null, b: string | null): string | null {
  if (a === null || b === null) return a ?? b
  return compareKeys(a, b) <= 0 ? a : b
}
