import type { MemberRef } from '../core/engine.ts'
import { KvistError } from '../core/errors.ts'
import { parseCollection, parseKey } from '../core/keys.ts'
import { maxKeyBytes } from '../core/limits.ts'
import type { HttpRequest } from './wire/request.ts'

/**
 * Parses paths and queries. Each part is decoded once, and a malformed part is refused: it could name something else.
 */

/**
 * Returns the path by which a request is routed. URL parsers resolve a segment that is `.` or `..`, escaped or not, so
 * browsers and `fetch` cannot send a key that is one. They escape the slash before it as `%2F`: `/v1/c%2F..`.
 * Collection names have no slash, so the path is unambiguous.
 */
export function routedPath(path: string): string {
  if (path.charCodeAt(path.length - 1) !== dot) return path
  const [, collection, key] = dotKeyForm.exec(path) ?? []
  return collection === undefined ? path : `${collection}/${key}`
}

const dot = 0x2e
const dotKeyForm = /^(\/v1\/(?:_history\/)?[^/]+)%2[Ff](\.{1,2})$/

/** Returns a decoded parameter of the route. */
export function pathParameter(request: HttpRequest, name: string): string {
  return decode(request.parameter(name)!)
}

export function collectionOf(request: HttpRequest): string {
  return parseCollection(pathParameter(request, 'collection'))
}

/** Returns the collection and key of a path. The key is one segment, or all that follows the collection. */
export function memberOf(request: HttpRequest): MemberRef {
  const key = request.parameter('key') ?? request.parameter('*')!
  return { collection: parseCollection(pathParameter(request, 'collection')), key: parsePathKey(decode(key)) }
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
  if (!text.includes('%')) return text
  try {
    return decodeURIComponent(text)
  } catch {
    throw new KvistError('invalid_request', 'the path has an escape that is not one, or not UTF-8')
  }
}

/**
 * Returns the value of a query parameter, not decoded, and the query without it; null when it is missing or given twice.
 */
export function takeParameter(query: string, name: string): { value: string; rest: string | null } | null {
  const pairs = query.split('&')
  const found = pairs.filter((pair) => pair.startsWith(`${name}=`))
  if (found.length !== 1) return null
  const rest = pairs.filter((pair) => pair !== found[0]).join('&')
  return { value: found[0]!.slice(name.length + 1), rest: rest === '' ? null : rest }
}

/**
 * Parses the query's parameters. Throws `invalid_parameter` for one that is unknown or given twice, as it would be
 * ignored otherwise.
 */
export function parametersOf<Name extends string>(
  { query }: HttpRequest,
  known: readonly Name[],
): { readonly [N in Name]?: string } {
  const found: { [N in Name]?: string } = {}
  if (query === null) return found
  for (const pair of query.split('&')) {
    if (pair === '') continue
    const equals = pair.indexOf('=')
    const name = decodeForm(equals === -1 ? pair : pair.slice(0, equals))
    const parameter = known.find((one) => one === name)
    if (parameter === undefined) throw unknownParameter(name, known)
    if (found[parameter] !== undefined) throw new KvistError('invalid_parameter', `${name} is given twice`)
    found[parameter] = equals === -1 ? '' : decodeForm(pair.slice(equals + 1))
  }
  return found
}

/** Decodes a part of the query. URLSearchParams accepts malformed escapes: as text, or as U+FFFD. */
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
