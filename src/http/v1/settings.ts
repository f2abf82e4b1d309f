import type { Database } from '../../core/database.ts'
import { maxBatchBytes } from '../../core/limits.ts'
import { parseSettings, settingsJson } from '../../core/settings.ts'
import { jsonText, readBody } from '../body.ts'
import { parametersOf } from '../path.ts'
import type { Connection } from '../route.ts'

/** `/v1/_collections/{collection}`: what is set for a collection, whether it has members or not. */

const json = { 'content-type': 'application/json' }

export function getSettings(db: Database, request: Request, collection: string): Response {
  parametersOf(request, [])
  return new Response(settingsJson(db.settings(collection)), { headers: json })
}

/** Replaces all of them: what is left out is as if it had never been set. */
export async function putSettings(
  db: Database,
  request: Request,
  collection: string,
  connection: Connection,
): Promise<Response> {
  parametersOf(request, [])
  const text = jsonText(await readBody(request, maxBatchBytes, connection))
  await db.setSettings(collection, parseSettings(JSON.parse(text)))
  return new Response(settingsJson(db.settings(collection)), { headers: json })
}

export async function deleteSettings(db: Database, request: Request, collection: string): Promise<Response> {
  parametersOf(request, [])
  await db.setSettings(collection, null)
  return new Response(null, { status: 204 })
}
