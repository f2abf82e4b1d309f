import { KvistError } from '../core/errors.ts'

/**
 * A cursor says where the next page begins, and of which question it is a page: the collection and all parameters that
 * decide which members there are and in which order. With another question it would lead to a page in the middle of nowhere.
 */
export type Question = readonly (string | null)[]

const questionBytes = 8

export function encodeCursor(question: Question, key: string): string {
  return Buffer.concat([fingerprint(question), Buffer.from(key)]).toString('base64url')
}

/** The key that the next page begins with. Throws `invalid_cursor` for a text that `encodeCursor` did not make of the question. */
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
