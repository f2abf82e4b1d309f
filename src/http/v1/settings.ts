import { maxBatchBytes } from '../../core/limits.ts'
import { parseSettings, settingsJson } from '../../core/settings.ts'
import type { Store } from '../../core/store.ts'
import { jsonText, readBody } from '../body.ts'
import type { RequestContext } from '../context.ts'
import { parametersOf } from '../path.ts'
import { jsonTextLine, responseOf } from '../response.ts'
import type { HttpRequest } from '../wire/request.ts'
import type { HttpResponse } from '../wire/response.ts'

/** `/v1/_collections/{collection}`: the settings of a collection, which need not have members. */

export function getSettings(db: Store, request: HttpRequest, collection: string): HttpResponse {
  parametersOf(request, [])
  return jsonTextLine(settingsJson(db.settings(collection)))
}

/** Replaces all settings: those left out return to their defaults. */
export async function putSettings(
  db: Store,
  request: HttpRequest,
  collection: string,
  context: RequestContext,
): Promise<HttpResponse> {
  parametersOf(request, [])
  const text = jsonText(await readBody(request, maxBatchBytes, context))
  await db.setSettings(collection, parseSettings(JSON.parse(text)))
  return jsonTextLine(settingsJson(db.settings(collection)))
}

export async function deleteSettings(
  db: Store,
  request: HttpRequest,
  collection: string,
): Promise<HttpResponse> {
  parametersOf(request, [])
  await db.setSettings(collection, null)
  return responseOf(204)
}
