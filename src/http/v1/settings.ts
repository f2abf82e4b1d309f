import { KvistError } from '../../core/errors.ts'
import { shownIndex } from '../../core/indexes/registry.ts'
import { defaultNamedMembers, maxBatchBytes, maxNamedMembers } from '../../core/limits.ts'
import { parseSchema } from '../../core/schema/schema.ts'
import { parseSettings, settingsJson } from '../../core/settings.ts'
import type { Store } from '../../core/store.ts'
import type { BindingHeader } from '../binding-headers.ts'
import { parsedJson, readBody } from '../body.ts'
import type { RequestContext } from '../context.ts'
import { decodeCursor, encodeCursor, type Question } from '../cursor.ts'
import { ResponsePages } from '../page-memory.ts'
import { parametersOf } from '../path.ts'
import { jsonTextLine, responseOf } from '../response.ts'
import type { HttpRequest } from '../wire/request.ts'
import type { HttpResponse } from '../wire/response.ts'
import { conditionOf } from './conditions.ts'
import { asObject, refuseOthers } from './fields.ts'

/** `/v1/_collections/{collection}`: the settings of a collection, which need not have members. */

/**
 * The conditions of a write of settings. Their ETag is the revision of what was stored: it tells what a PUT would replace,
 * not how far the builds of indexes are, so a GET has no 304.
 */
export const settingsConditions = ['if-match', 'if-none-match'] as const satisfies readonly BindingHeader[]

/** The settings with the states of the indexes, which are ignored when they are sent back. */
function settingsResponse(db: Store, collection: string): HttpResponse {
  const text = settingsJson(db.settings(collection), db.indexesOf(collection).map(shownIndex))
  const revision = db.settingsRevision(collection)
  return jsonTextLine(text, 200, revision === null ? {} : { ETag: `"${revision}"` })
}

export function getSettings(db: Store, request: HttpRequest, collection: string): HttpResponse {
  parametersOf(request, [])
  return settingsResponse(db, collection)
}

/** Replaces all settings: those left out return to their defaults. */
export async function putSettings(
  db: Store,
  request: HttpRequest,
  collection: string,
  context: RequestContext,
): Promise<HttpResponse> {
  parametersOf(request, [])
  const settings = parseSettings(parsedJson(await readBody(request, maxBatchBytes, context)))
  await db.setSettings(collection, settings, conditionOf(request, context))
  return settingsResponse(db, collection)
}

export async function deleteSettings(
  db: Store,
  request: HttpRequest,
  collection: string,
  context: RequestContext,
): Promise<HttpResponse> {
  parametersOf(request, [])
  await db.setSettings(collection, null, conditionOf(request, context))
  return responseOf(204)
}

const checkFields: ReadonlySet<string> = new Set(['schema', 'limit', 'cursor'])

/** `POST /v1/_collections/{collection}/_check`: a part of the members, and those of them that break a schema. */
export async function checkMembers(
  db: Store,
  request: HttpRequest,
  collection: string,
  context: RequestContext,
): Promise<HttpResponse> {
  parametersOf(request, [])
  const fields = asObject(parsedJson(await readBody(request, maxBatchBytes, context)), 'the check')
  refuseOthers(fields, checkFields, 'the check')
  const schema = parseSchema(fields.schema)
  const question: Question = ['check', collection, schema]
  const { checked, broken, next } = await db.checkMembers(
    collection,
    { schema, limit: parseNamed(fields.limit), from: parseCursor(question, fields.cursor) },
    new ResponsePages(context.connection),
  )
  const cursor = next === null ? null : encodeCursor(question, next)
  return jsonTextLine(JSON.stringify({ checked, broken, complete: next === null, next: cursor }))
}

function parseNamed(given: unknown): number {
  if (given === undefined) return defaultNamedMembers
  if (typeof given === 'number' && Number.isInteger(given) && given >= 1 && given <= maxNamedMembers)
    return given
  throw new KvistError('invalid_request', `"limit" is a number from 1 to ${maxNamedMembers}`, {
    limit: maxNamedMembers,
  })
}

function parseCursor(question: Question, given: unknown): string | null {
  if (given === undefined || given === null) return null
  if (typeof given === 'string') return decodeCursor(question, given)
  throw new KvistError('invalid_cursor', '"cursor" is "next" of the response before')
}
