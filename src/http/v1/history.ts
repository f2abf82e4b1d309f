import type { Archive, Point } from '../../core/archive.ts'
import { versionJson } from '../../core/archive-json.ts'
import type { MemberRef } from '../../core/engine.ts'
import { KvistError } from '../../core/errors.ts'
import { defaultPageVersions, maxPageVersions } from '../../core/limits.ts'
import type { Store } from '../../core/store.ts'
import { parseTimeMs } from '../../core/time.ts'
import { parametersOf } from '../path.ts'
import { jsonTextLine } from '../response.ts'
import type { HttpRequest } from '../wire/request.ts'
import type { HttpResponse } from '../wire/response.ts'
import { parseChoice } from './choice.ts'
import { valueJson } from './serializers.ts'

/** What the archive tells of members: `?at=` of a GET, and `GET /v1/_history/{collection}/{key}`. */

/** Parses a point in time: a revision, which is a whole number, or a time. Throws `invalid_parameter`. */
function parsePoint(text: string): Point {
  if (/^\d{1,15}$/.test(text)) return { revision: Number(text) }
  if (!/^\d{4}-/.test(text)) {
    throw new KvistError(
      'invalid_parameter',
      'at is a time in RFC 3339 (2026-11-27T10:15:00Z) or a revision (1234)',
    )
  }
  return { timeMs: parseTimeMs(text) }
}

/** Returns the `at` parameter; null without one. Throws `invalid_parameter` for a query that has others beside it. */
export function pointOf(request: HttpRequest): Point | null {
  if (request.query === null || !/(?:^|&)at=/.test(request.query)) return null
  const { at } = parametersOf(request, ['at'])
  return at === undefined ? null : parsePoint(at)
}

/** Throws `forbidden` unless the reader of the store may read the member, and `not_implemented` on a server without one. */
export function archiveFor(db: Store, archive: Archive | null, ref: MemberRef): Archive {
  db.requireGranted('read', ref)
  if (archive === null) {
    throw new KvistError('not_implemented', 'this server keeps no archive: see --archive')
  }
  return archive
}

const historyParameters = ['before', 'limit', 'include'] as const

/** Responds with a page of the versions of a member, newest first. */
export async function getHistory(
  db: Store,
  archive: Archive | null,
  request: HttpRequest,
  ref: MemberRef,
): Promise<HttpResponse> {
  const own = archiveFor(db, archive, ref)
  const given = parametersOf(request, historyParameters)
  const withValues = parseChoice('include', given.include, ['metadata', 'values']) === 'values'
  const limit = numberOf('limit', given.limit, maxPageVersions) ?? defaultPageVersions
  const before = numberOf('before', given.before, Number.MAX_SAFE_INTEGER)
  const { versions, next } = await own.versions(ref, { before, limit, withValues })
  const list = versions.map((version) => versionJson(version, withValues ? valueJson : () => '')).join(',')
  return jsonTextLine(`{"versions":[${list}],"next":${next}}`)
}

function numberOf(name: string, given: string | undefined, most: number): number | null {
  if (given === undefined) return null
  const number = /^\d{1,16}$/.test(given) ? Number(given) : 0
  if (number >= 1 && number <= most) return number
  throw new KvistError('invalid_parameter', `${name} is a number from 1 to ${most}`)
}
