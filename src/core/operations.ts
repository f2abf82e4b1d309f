import type { Content } from './database.ts'
import type { MemberRef, Write } from './engine.ts'
import { KvistError } from './errors.ts'
import { incrementAt } from './json.ts'
import { maxValueBytes } from './limits.ts'
import { jsonContentType } from './member.ts'

/** What a batch can do to a member. */
export type Operation =
  | (Content & MemberRef & { readonly op: 'put' })
  | (MemberRef & { readonly op: 'delete' })
  | (MemberRef & { readonly op: 'increment'; readonly path: string; readonly by: number })

/** The write that an operation comes to, where `current` is what an increment counts on from. */
export function toWrite(operation: Operation, current: Content | null): Write {
  const { collection, key } = operation
  if (operation.op === 'delete') return { op: 'delete', collection, key, ending: 'delete' }
  if (operation.op === 'put') {
    const { value, contentType, flags, expiresAtMs } = operation
    return { op: 'put', collection, key, value, contentType, flags, expiresAtMs }
  }
  const value = current?.value
  if (value instanceof Uint8Array) {
    throw new KvistError('unprocessable', `${collection}/${key} is not JSON`, { collection, key })
  }
  const { text } = incrementAt(value, operation.path, operation.by)
  if (text.length > maxValueBytes)
    throw new KvistError('too_large', `${collection}/${key} would become too large`)
  const { contentType, flags, expiresAtMs } = current ?? newJson
  return { op: 'put', collection, key, value: text, contentType, flags, expiresAtMs }
}

const newJson = { contentType: jsonContentType, flags: 0, expiresAtMs: null }
