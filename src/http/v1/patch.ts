import type { Database } from '../../core/database.ts'
import type { MemberRef } from '../../core/engine.ts'
import { KvistError } from '../../core/errors.ts'
import { parseJsonPatch } from '../../core/json-patch.ts'
import { maxValueBytes } from '../../core/limits.ts'
import { isObjectText } from '../../core/merge.ts'
import type { Patch } from '../../core/patch.ts'
import type { Answer } from '../answer.ts'
import { jsonText, parseContentType, readBody } from '../body.ts'
import type { RequestContext } from '../context.ts'
import { essence } from '../media-types.ts'
import { parametersOf } from '../path.ts'
import { problemAnswer } from '../problem.ts'
import type { HttpRequest } from '../wire/request.ts'
import { conditionOf } from './conditions.ts'
import { parseExpiry } from './expiry.ts'
import { storedAnswer } from './members.ts'

/** `PATCH` of a member (RFC 5789): the media type says what the body is. */
const parsers: ReadonlyMap<string, (text: string) => Patch | null> = new Map([
  ['application/merge-patch+json', (text) => ({ kind: 'merge', text })],
  ['application/json-patch+json', (text) => ({ kind: 'operations', operations: parseJsonPatch(text) })],
  ['application/vnd.kvist.increment+json', parseIncrement],
  ['application/json', parsePlainJson],
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
  const parse = parsers.get(essence(contentType))
  if (parse === undefined) return unsupported(`a patch is one of ${acceptPatch}`)
  parseContentType(contentType)
  const patch = parse(jsonText(await readBody(request, maxValueBytes, context)))
  if (patch === null)
    return unsupported(`a patch of type application/json is an object; other types are ${acceptPatch}`)
  const expiresAtMs = parseExpiry(expire_in, expire_at, context.now())
  const patched = await db.patch(ref, patch, condition, expiresAtMs)
  return storedAnswer(ref.key, patched, patched)
}

function unsupported(detail: string): Answer {
  return problemAnswer(new KvistError('unsupported_media_type', detail), { 'Accept-Patch': acceptPatch })
}

/** Most clients send plain JSON. Of that only an object can be meant as a merge patch: an array may be a JSON patch. */
function parsePlainJson(text: string): Patch | null {
  return isObjectText(text) ? { kind: 'merge', text } : null
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
