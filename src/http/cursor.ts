import { KvistError } from '../core/errors.ts'

/**
 * What a cursor belongs to: the collection and all parameters that determine which members are listed, and in which
 * order. A cursor holds the key at which the next page begins and a fingerprint of its question, so that it is refused
 * with any other.
 */
export type Question = readonly (string | null)[]

const questionBytes = 8

export function encodeCursor(question: Question, key: string): string {
  return Buffer.concat([fingerprint(question), Buffer.from(key)]).toString('base64url')
}

/**
 * Returns the key at which the next page begins. Throws `invalid_cursor` unless `encodeCursor` made the text for this
 * question.
 */
export function decodeCursor(question: Question, text: string): string {
  const bytes = Buffer.from(text, 'base64url')
  const key = bytes.toString('utf8', questionBytes)
  if (key === '' || encodeCursor(question, key) !== text) {
    throw new KvistError(
      'invalid_cursor',
      'the cursor is not one of this list: it goes with the collection and the parameters of the page before',
    )
  }
  return key
}

function fingerprint(question: Question): Buffer {
  const bytes = Buffer.allocUnsafe(questionBytes)
  bytes.writeBigUInt64BE(Bun.hash.xxHash64(JSON.stringify(question)))
  return bytes
}
