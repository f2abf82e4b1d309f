import { KvistError } from '../core/errors.ts'

/** A cursor says where the next page begins. The mark in front tells it from other text that happens to decode. */
const cursorMark = 'k1:'

export function encodeCursor(key: string): string {
  return Buffer.from(cursorMark + key).toString('base64url')
}

/** Throws `invalid_cursor` for a text that `encodeCursor` did not make. */
export function decodeCursor(text: string): string {
  const bytes = Buffer.from(text, 'base64url')
  const decoded = bytes.toString()
  // A cursor may be one byte longer than a key: the first key after the longest one.
  const key = decoded.slice(cursorMark.length)
  if (encodeCursor(key) !== text || !decoded.startsWith(cursorMark) || key === '') {
    throw new KvistError('invalid_cursor', 'the cursor is not one that kvist gave')
  }
  return key
}
