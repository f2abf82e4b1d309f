import type { Database } from '../../core/database.ts'
import type { MemberRef } from '../../core/engine.ts'
import { KvistError } from '../../core/errors.ts'
import { parseJsonPatch } from '../../core/json-patch.ts'
import { maxValueBytes } from '../../core/limits.ts'
import type { Patch } from '../../core/patch.ts'
import type { Answer } from '../answer.ts'
import { jsonText, parseContentType, readBody } from '../body.ts'
import type { RequestContext } from '../context.ts'
import { parametersOf } from '../path.ts'
import { problemAnswer } from '../problem.ts'
import type { HttpRequest } from '../wire/request.ts'
import { conditionOf } from './conditions.ts'
import { parseExpiry } from './expiry.ts'
import { storedAnswer } from './members.ts'

/** `PATCH` of a member (RFC 5789): the media type says what the body is. */
const parsers: ReadonlyMap<string, (text: string) => Patch> = new Map([
  ['application/merge-patch+json', (text) => ({ kind: 'merge', text })],
  ['application/json-patch+json', (text) => ({ kind: 'operations', operations: parseJsonPatch(text) })],
  ['application/vnd.kvist.increment+json', parseIncrement],
])

const acceptPatch = [...parsers.keys()].join(', ')

export async function patchMember(
  db: Database,
  request: HttpRequest,
  ref: MemberRef,
  context: RequestContext,
): Promise<Answer> {
  const { expire_in, expire_at } = parametersOf(request, ['expire_in', 'expire_at'])
  const condition = conditionOf(request)
  const contentType = request.header('content-type') ?? ''
  const parse = parsers.get(contentType.split(';', 1)[0]!.trim().toLowerCase())
  if (parse === undefined) {
    const unsupported = new KvistError('unsupported_media_type', `a patch is one of ${acceptPatch}`)
    return problemAnswer(unsupported, { 'Accept-Patch': acceptPatch })
  }
  parseContentType(contentType)
  const patch = parse(jsonText(await readBody(request, maxValueBytes, context)))
  const expiresAtMs = parseExpiry(expire_in, expire_at, context.now())
  const patched = await db.patch(ref, patch, condition, expiresAtMs)
  return storedAnswer(ref.key, patched, patched)
}

/** `{"path": "/views", "by": 1}`, both of which may be left out: the value itself, and 1. */
function parseIncrement(text: string): Patch {
  const given: unknown = JSON.parse(text)
  if (typeof given !== 'object' || given === null || Array.isArray(given)) {
    throw new KvistError('invalid_request', 'an increment is an object')
  }
  const { path = '', by = 1, ...others }: { path?: unknown; by?: unknown } = given
  const [other] = Object.keys(others)
  if (other !== undefined) {
    const name = JSON.stringify(other.slice(0, 64))
    throw new KvistError('invalid_request', `an increment has no ${name}; known are path, by`)
  }
  if (typeof path !== 'string') throw new KvistError('invalid_request', '"path" is not a JSON pointer')
  if (typeof by !== 'number') throw new KvistError('invalid_request', '"by" is not a number')
  return { kind: 'increment', path, by }
}
