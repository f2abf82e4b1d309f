import { KvistError } from '../core/errors.ts'
import type { HttpRequest } from './wire/request.ts'

/** Parses the entity tags of If-Match and If-None-Match (RFC 9110, 8.8.3 and 5.6.1). */

const tag = '(?:W/)?"[\\x21\\x23-\\x7e\\x80-\\xff]*"'
const listForm = RegExp(`^[\\t ,]*${tag}(?:[\\t ]*,[\\t ,]*${tag})*[\\t ,]*$`)

/**
 * Returns the tags without their quotes, or `any` for `*`. Weak tags count as strong ones: a proxy that compresses
 * makes a tag weak, and it still names the same state. Throws `invalid_request`, also for an empty list, as an unset
 * variable in a script leaves it.
 */
export function parseEntityTags(header: string, text: string): string[] | 'any' {
  if (text === '*') return 'any'
  if (!listForm.test(text)) {
    throw new KvistError('invalid_request', `${header} is not a list of tags such as "12", nor *`)
  }
  return Array.from(text.matchAll(/"([^"]*)"/g), ([, opaque = '']) => opaque)
}

/**
 * Whether a header of the request contains the tag, given without quotes; `otherwise` when the request has no such
 * header.
 */
export function isNamed(
  request: HttpRequest,
  header: 'If-Match' | 'If-None-Match',
  tag: string,
  otherwise: boolean,
): boolean {
  const text = request.header(header.toLowerCase())
  if (text === null) return otherwise
  const tags = parseEntityTags(header, text)
  return tags === 'any' || tags.includes(tag)
}
