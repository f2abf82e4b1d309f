import { KvistError } from '../../core/errors.ts'
import { parseWhere } from '../../core/find/expressions.ts'
import { defaultPageCollections } from '../../core/limits.ts'
import type { Store } from '../../core/store.ts'
import { readValue } from '../body.ts'
import { compressed } from '../compression.ts'
import type { RequestContext } from '../context.ts'
import { decodeCursor, encodeCursor, type Question } from '../cursor.ts'
import { parametersOf } from '../path.ts'
import { jsonTextLine } from '../response.ts'
import type { HttpRequest } from '../wire/request.ts'
import type { HttpResponse } from '../wire/response.ts'
import { expiryParameters, parameterExpiry } from './expiry.ts'
import { type Idempotency, perform } from './idempotency.ts'
import { parseLimit } from './limit.ts'
import { parseSelection, selectionParameters } from './selection.ts'
import { storedJson } from './serializers.ts'

/** Handlers that list collections, store members under a new id, and drop collections. */

export async function listCollections(db: Store, request: HttpRequest): Promise<HttpResponse> {
  const given = parametersOf(request, ['prefix', 'limit', 'cursor'])
  const { prefix = '', limit, cursor } = given
  const question: Question = ['collections', prefix]
  const page = await db.collectionPage({
    prefix,
    from: cursor === undefined ? null : decodeCursor(question, cursor),
    limit: parseLimit(limit, false, defaultPageCollections),
  })
  const next = page.next === null ? null : encodeCursor(question, page.next)
  const body = JSON.stringify({ collections: page.collections, next })
  const link =
    next === null ? {} : { Link: `</v1?${new URLSearchParams({ ...given, cursor: next })}>; rel="next"` }
  return compressed(request, jsonTextLine(body, 200, { Vary: 'Accept-Encoding', ...link }))
}

export async function postMember(
  idempotency: Idempotency,
  request: HttpRequest,
  collection: string,
  context: RequestContext,
): Promise<HttpResponse> {
  const given = parametersOf(request, expiryParameters)
  const sent = await readValue(request, context)
  const expiresAtMs = parameterExpiry(given, context.now())
  const id = Bun.randomUUIDv7()
  return perform(idempotency, request, context, {
    operations: [{ op: 'put', collection, key: id, ...sent, flags: 0, expiresAtMs }],
    content: [sent.value],
    note: id,
    respond([written], key) {
      const location = `/v1/${encodeURIComponent(collection)}/${key}`
      const headers = { Location: location, ETag: `"${written!.revision}"` }
      return jsonTextLine(storedJson(key, written!, written!), 201, headers)
    },
  })
}

const dropParameters = [...selectionParameters, 'where'] as const

export async function dropMembers(
  db: Store,
  request: HttpRequest,
  collection: string,
  context: RequestContext,
): Promise<HttpResponse> {
  const given = parametersOf(request, dropParameters)
  // An unset variable in a script must not drop everything.
  const empty = dropParameters.find((name) => given[name] === '')
  if (empty !== undefined) {
    throw new KvistError('invalid_parameter', `${empty} is empty; leave it out to drop without it`)
  }
  const where = given.where === undefined ? null : parseWhere(given.where)
  const selection = { ...parseSelection(given), where }
  const deleted = await db.drop(collection, selection, () => context.connection.resetTimeout())
  return jsonTextLine(JSON.stringify({ deleted }))
}
