import { KvistError } from '../core/errors.ts'
import type { HttpRequest } from './wire/request.ts'

/** Lists of entity tags, as If-Match and If-None-Match have them (RFC 9110, 8.8.3 and 5.6.1). */

const tag = '(?:W/)?"[\\x21\\x23-\\x7e\\x80-\\xff]*"'
const listForm = RegExp(`^[\\t ,]*${tag}(?:[\\t ]*,[\\t ,]*${tag})*[\\t ,]*$`)

/**
 * The tags without their quotes, or `any` for `*`. Weak tags count as strong ones: what weakens a tag on its way is a proxy
 * that compresses, and the tag still names the same state. Throws `invalid_request`, also for a list of nothing, as an unset
 * variable in a script leaves it.
 */
export function parseEntityTags(header: string, text: string): string[] | 'any' {
  if (text === '*') return 'any'
  if (!listForm.test(text)) {
    throw new KvistError('invalid_request', `${header} is not a list of tags such as "12", nor *`)
  }
  return Array.from(text.matchAll(/"([^"]*)"/g), ([, opaque = '']) => opaque)
}

/** Whether a request names a tag, given without its quotes, in a header; `otherwise` where it has no such header. */
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
