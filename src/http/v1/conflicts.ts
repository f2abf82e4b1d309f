import { stampToMs } from '../../core/clock.ts'
import type { Conflict, LostContent, LostVersion } from '../../core/conflict-records.ts'
import { parseCollection } from '../../core/keys.ts'
import type { Origin } from '../../core/origin.ts'
import type { Store } from '../../core/store.ts'
import { formatTime } from '../../core/time.ts'
import { compressed } from '../compression.ts'
import { decodeCursor, encodeCursor, type Question } from '../cursor.ts'
import { parametersOf } from '../path.ts'
import { jsonTextLine } from '../response.ts'
import type { HttpRequest } from '../wire/request.ts'
import type { HttpResponse } from '../wire/response.ts'
import { parseLimit } from './limit.ts'
import { valueJson } from './serializers.ts'

/** `GET /v1/_conflicts`: the versions that were lost in conflicts between nodes, by page. */

export async function listConflicts(db: Store, request: HttpRequest): Promise<HttpResponse> {
  const given = parametersOf(request, ['collection', 'limit', 'cursor'])
  const collection = given.collection === undefined ? null : parseCollection(given.collection)
  const question: Question = ['conflicts', collection]
  const page = await db.conflicts({
    collection,
    before: given.cursor === undefined ? null : decodeCursor(question, given.cursor),
    limit: parseLimit(given.limit, false),
  })
  const next = page.next === null ? null : encodeCursor(question, page.next)
  const link =
    next === null
      ? {}
      : { Link: `</v1/_conflicts?${new URLSearchParams({ ...given, cursor: next })}>; rel="next"` }
  const conflicts = page.conflicts.map(conflictJson).join(',')
  const body = `{"conflicts":[${conflicts}],"unlisted":${page.unlisted},"next":${JSON.stringify(next)}}`
  return compressed(request, jsonTextLine(body, 200, { Vary: 'Accept-Encoding', ...link }))
}

function conflictJson({ collection, key, seenMs, lost, kept }: Conflict): string {
  const member = `"collection":${JSON.stringify(collection)},"key":${JSON.stringify(key)}`
  return `{${member},"seen_at":"${formatTime(seenMs)}","lost":${lostJson(lost)},"kept":{${originFields(kept)}}}`
}

function lostJson(lost: LostVersion): string {
  const start = `{"type":"${lost.type}",${originFields(lost)},"revision":${lost.revision}`
  return lost.type === 'put' && lost.content !== null
    ? `${start},${contentFields(lost.content)}}`
    : `${start}}`
}

function originFields({ node, clock }: Origin): string {
  return `"origin":{"node":${JSON.stringify(node)},"clock":${clock}},"written_at":"${formatTime(stampToMs(clock))}"`
}

function contentFields(content: LostContent): string {
  const { createdAtMs, expiresAtMs, contentType, flags, bytes, value } = content
  const fields = {
    created_at: formatTime(createdAtMs),
    expires_at: expiresAtMs === null ? null : formatTime(expiresAtMs),
    content_type: contentType,
    flags,
    bytes,
  }
  const metadata = JSON.stringify(fields).slice(1, -1)
  return value === null ? metadata : `${metadata},${valueJson({ value, contentType })}`
}
