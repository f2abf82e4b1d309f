import type { Condition } from '../../core/condition.ts'
import type { AskedExpiry } from '../../core/content.ts'
import type { MemberRef } from '../../core/engine.ts'
import { KvistError } from '../../core/errors.ts'
import { maxValueBytes } from '../../core/limits.ts'
import { type Patch, parsePatchOperations } from '../../core/patch.ts'
import { isObjectText } from '../../json/object.ts'
import { jsonText, parseContentType, readBody } from '../body.ts'
import type { RequestContext } from '../context.ts'
import { essence } from '../media-types.ts'
import { parametersOf } from '../path.ts'
import { problemResponse } from '../problem.ts'
import type { HttpRequest } from '../wire/request.ts'
import type { HttpResponse } from '../wire/response.ts'
import { conditionOf } from './conditions.ts'
import { expiryParameters, parameterExpiry } from './expiry.ts'
import { asObject, refuseOthers } from './fields.ts'
import { type Idempotency, perform, type Work } from './idempotency.ts'
import { incrementFields, parseIncrement } from './increment.ts'
import { notFound, storedResponse } from './members.ts'

type Parser = (text: string, nowMs: number) => Patch | null

/** The parsers of `PATCH` bodies (RFC 5789), by media type. A PATCH without a body changes only the expiry. */
const parsers: ReadonlyMap<string, Parser> = new Map<string, Parser>([
  ['application/merge-patch+json', (text) => ({ kind: 'merge', text })],
  ['application/json-patch+json', (text) => ({ kind: 'operations', operations: parsePatchOperations(text) })],
  ['application/vnd.kvist.increment+json', parseIncrementPatch],
  ['application/json', parsePlainJson],
])

const acceptPatch = [...parsers.keys()].join(', ')

export async function patchMember(
  idempotency: Idempotency,
  request: HttpRequest,
  ref: MemberRef,
  context: RequestContext,
): Promise<HttpResponse> {
  const given = parametersOf(request, expiryParameters)
  const condition = conditionOf(request, context)
  const contentType = request.header('content-type') ?? ''
  const parse = parsers.get(essence(contentType))
  const asked = parameterExpiry(given, context.now())
  if (parse === undefined) {
    if (asked !== null && (await isEmpty(request, context)))
      return perform(idempotency, request, context, touchOf(ref, asked, condition))
    return unsupported(
      `a patch is one of ${acceptPatch}; without a body, expire_in or expire_at change the expiry`,
    )
  }
  parseContentType(contentType)
  const bytes = await readBody(request, maxValueBytes, context)
  // Many clients send `application/json` with every request; with another type an empty body is an error.
  if (parse === parsePlainJson && bytes.length === 0 && asked !== null)
    return perform(idempotency, request, context, touchOf(ref, asked, condition))
  const patch = parse(jsonText(bytes), context.now())
  if (patch === null)
    return unsupported(`a patch of type application/json is an object; other types are ${acceptPatch}`)
  requireOneExpiry(patch, asked)
  return perform(idempotency, request, context, {
    operations: [{ op: 'patch', ...ref, patch, condition, expiresAtMs: asked }],
    content: [bytes],
    respond([patched]) {
      const value = patch.kind === 'increment' ? patched!.value : undefined
      return storedResponse(ref.key, patched!, patched!, value)
    },
  })
}

function touchOf(ref: MemberRef, expiresAtMs: number | 'never', condition: Condition | undefined): Work {
  return {
    operations: [{ op: 'touch', ...ref, expiresAtMs, condition }],
    content: [],
    require({ operations: [touch] }) {
      if (touch!.current === null) throw notFound(ref)
    },
    respond([touched]) {
      if (touched!.revision === 0) throw notFound(ref)
      return storedResponse(ref.key, touched!, touched!)
    },
  }
}

function requireOneExpiry(patch: Patch, asked: AskedExpiry): void {
  if (asked === null || patch.kind !== 'increment' || patch.ifCreated === undefined) return
  throw new KvistError(
    'invalid_parameter',
    'if_created and an expiry in the URL are both given: leave one out',
  )
}

function unsupported(detail: string): HttpResponse {
  return problemResponse(new KvistError('unsupported_media_type', detail), { 'Accept-Patch': acceptPatch })
}

/**
 * Parses plain JSON, which most clients send. Only an object is taken as a merge patch, because an array may be a JSON
 * patch.
 */
function parsePlainJson(text: string): Patch | null {
  return isObjectText(text) ? { kind: 'merge', text } : null
}

/** Whether a request has no content. With the chunked coding that is known only once the body has arrived. */
async function isEmpty(request: HttpRequest, context: RequestContext): Promise<boolean> {
  const { declaredBytes } = request.body
  if (declaredBytes !== null) return declaredBytes === 0
  try {
    await readBody(request, 0, context)
    return true
  } catch (error) {
    if (error instanceof KvistError && error.code === 'too_large') return false
    throw error
  }
}

const fieldsOfPatch: ReadonlySet<string> = new Set(incrementFields)

function parseIncrementPatch(text: string, nowMs: number): Patch {
  const fields = asObject(JSON.parse(text), 'the increment')
  refuseOthers(fields, fieldsOfPatch, 'the increment')
  return { kind: 'increment', ...parseIncrement(fields, 'the increment', nowMs) }
}
