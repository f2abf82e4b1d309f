import type { MemberRef } from '../core/engine.ts'
import { KvistError } from '../core/errors.ts'
import { parseCollection, parseKey } from '../core/keys.ts'
import { maxKeyBytes } from '../core/limits.ts'
import type { RoutedRequest } from './route.ts'

/**
 * What a URL says. Bun's router decodes parameters leniently: a bad escape becomes U+FFFD, so that many bad URLs
 * would name one key. Where U+FFFD turns up the raw path decides.
 */

const replacement = '\ufffd'

/** The collection that the segment at this place of the path names. */
export function collectionOf(request: RoutedRequest, at = 1): string {
  const name = request.params.collection!
  return parseCollection(name.includes(replacement) ? decode(segments(request)[at] ?? '') : name)
}

/** The collection and key of a path whose key is one segment. */
export function memberOf(request: RoutedRequest): MemberRef {
  const { collection, key } = request.params
  if (collection!.includes(replacement) || key!.includes(replacement)) return memberOfRest(request)
  return { collection: parseCollection(collection!), key: parsePathKey(key!) }
}

/**
 * The collection and key of a path whose key may hold raw slashes: it is all that follows the collection. In the URL
 * that Bun gives, `.` and `..` have been walked, as RFC 3986 says; out of the collection they must not lead.
 */
export function memberOfRest(request: RoutedRequest): MemberRef {
  const [, raw = '', ...rest] = segments(request)
  const collection = decode(raw)
  const routed = request.params.collection!
  if (routed !== collection && !routed.includes(replacement)) {
    throw new KvistError('invalid_request', 'the path leads out of its collection with ..')
  }
  return { collection: parseCollection(collection), key: parsePathKey(decode(rest.join('/'))) }
}

function parsePathKey(key: string): string {
  if (key.length * 3 > maxKeyBytes && Buffer.byteLength(key) > maxKeyBytes) {
    throw new KvistError('key_too_long', `the key has more than ${maxKeyBytes} bytes`, {
      limit_bytes: maxKeyBytes,
    })
  }
  return parseKey(key)
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw new KvistError('invalid_request', 'the path has an escape that is not one, or not UTF-8')
  }
}

/** The segments of the path, not decoded: `v1`, the collection, and so on. */
function segments({ url }: Request): string[] {
  return pathOf(url).slice(1).split('/')
}

/** The path of a URL as it was sent, not decoded. Without a good Host, the URL of a request is only its path. */
export function pathOf(url: string): string {
  const path = url.startsWith('/') ? url : url.slice(url.indexOf('/', url.indexOf('//') + 2))
  const end = path.indexOf('?')
  return end === -1 ? path : path.slice(0, end)
}

/** The query's parameters. One that is not known, or given twice, is refused: it would be ignored otherwise. */
export function parametersOf<Name extends string>(
  { url }: Request,
  known: readonly Name[],
): { readonly [N in Name]?: string } {
  const start = url.indexOf('?')
  const found: { [N in Name]?: string } = {}
  if (start === -1) return found
  for (const pair of url.slice(start + 1).split('&')) {
    if (pair === '') continue
    const equals = pair.indexOf('=')
    const name = decodeForm(equals === -1 ? pair : pair.slice(0, equals))
    const row = known.find((one) => one === name)
    if (row === undefined) throw unknownParameter(name, known)
    if (found[row] !== undefined) throw new KvistError('invalid_parameter', `${name} is given twice`)
    found[row] = equals === -1 ? '' : decodeForm(pair.slice(equals + 1))
  }
  return found
}

/** URLSearchParams would let bad escapes pass: as text, or as U+FFFD. */
function decodeForm(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '))
  } catch {
    throw new KvistError('invalid_parameter', 'the query has an escape that is not one, or not UTF-8')
  }
}

function unknownParameter(name: string, known: readonly string[]): KvistError {
  const choice = known.length === 0 ? 'there are none here' : `known are ${known.join(', ')}`
  return new KvistError(
    'invalid_parameter',
    `there is no parameter ${JSON.stringify(name.slice(0, 64))}; ${choice}`,
  )
}
