import type { Database } from '../../core/database.ts'
import { KvistError } from '../../core/errors.ts'
import { type Answer, jsonTextLine } from '../answer.ts'
import { readValue } from '../body.ts'
import type { RequestContext } from '../context.ts'
import { parametersOf } from '../path.ts'
import type { HttpRequest } from '../wire/request.ts'
import { expiryParameters, parameterExpiry } from './expiry.ts'
import { parseSelection, selectionParameters } from './selection.ts'
import { storedJson } from './shapes.ts'

/** Collections: which there are, new members under an id of their own, and dropping. */

export async function listCollections(db: Database, request: HttpRequest): Promise<Answer> {
  parametersOf(request, [])
  const collections = await db.collections()
  return jsonTextLine(JSON.stringify({ collections }))
}

export async function postMember(
  db: Database,
  request: HttpRequest,
  collection: string,
  context: RequestContext,
): Promise<Answer> {
  const given = parametersOf(request, expiryParameters)
  const sent = await readValue(request, context)
  const content = { ...sent, flags: 0, expiresAtMs: parameterExpiry(given, context.now()) }
  const key = Bun.randomUUIDv7()
  const written = await db.put(collection, key, content)
  const location = `/v1/${encodeURIComponent(collection)}/${key}`
  return jsonTextLine(storedJson(key, written, content), 201, {
    Location: location,
    ETag: `"${written.revision}"`,
  })
}

export async function dropMembers(
  db: Database,
  request: HttpRequest,
  collection: string,
  context: RequestContext,
): Promise<Answer> {
  const given = parametersOf(request, selectionParameters)
  // An unset variable of a script must not drop everything.
  const empty = selectionParameters.find((name) => given[name] === '')
  if (empty !== undefined) {
    throw new KvistError('invalid_parameter', `${empty} is empty; leave it out to drop without it`)
  }
  const selection = parseSelection(given)
  const deleted = await db.drop(collection, selection, () => context.connection.resetTimeout())
  return jsonTextLine(JSON.stringify({ deleted }))
}
