import type { KeyVersion, MemberState, RangeDigest } from '../../core/comparison.ts'
import type { MemberRef } from '../../core/engine.ts'
import { entryLine } from '../../core/entry-lines.ts'
import { KvistError } from '../../core/errors.ts'
import { parseKey } from '../../core/keys.ts'
import { maxBatchBytes, maxComparedMembers, maxDigestedRange, maxDigestedRanges } from '../../core/limits.ts'
import type { Store } from '../../core/store.ts'
import { formatTime, parseTimeMs } from '../../core/time.ts'
import { parsedJson, readBody } from '../body.ts'
import { compressed } from '../compression.ts'
import type { RequestContext } from '../context.ts'
import { ResponsePages } from '../page-memory.ts'
import { parametersOf } from '../path.ts'
import { jsonTextLine, responseOf, streamed } from '../response.ts'
import type { HttpRequest } from '../wire/request.ts'
import type { HttpResponse } from '../wire/response.ts'
import { asArray, asObject, type JsonFields, refuseOthers } from './fields.ts'
import { parseForeignCollection } from './replicate.ts'

/** The routes by which nodes are compared: digests, versions and states of members (core/comparison.ts). */

export async function getCompared(
  db: Store,
  request: HttpRequest,
  context: RequestContext,
): Promise<HttpResponse> {
  parametersOf(request, [])
  const collections = await db.comparedCollections()
  return jsonTextLine(JSON.stringify({ node: db.nodeId, now: formatTime(context.now()), collections }))
}

export async function postDigests(
  db: Store,
  request: HttpRequest,
  context: RequestContext,
): Promise<HttpResponse> {
  const fields = await fieldsOf(request, context, digestFields)
  const { collection, from, to, atMs } = parseRange(fields)
  const ends = fields.ends === undefined ? null : parseEnds(fields.ends)
  const members = parseCount('members', fields.members, maxDigestedRange, ends === null)
  const end = ends === null ? to : ends.at(-1)!
  const ranges = await db.digests({ collection, from, to: end, ends, members, atMs })
  const body = `{"node":"${db.nodeId}","ranges":[${ranges.map(rangeJson).join(',')}]}`
  return compressed(request, jsonTextLine(body, 200, variesByCoding))
}

export async function postVersions(
  db: Store,
  request: HttpRequest,
  context: RequestContext,
): Promise<HttpResponse> {
  const fields = await fieldsOf(request, context, versionsFields)
  const limit = parseCount('limit', fields.limit, maxComparedMembers, true)
  const { versions, next } = await db.versions({ ...parseRange(fields), limit })
  const body = `{"node":"${db.nodeId}","versions":[${versions.map(versionJson).join(',')}],"next":${JSON.stringify(next)}}`
  return compressed(request, jsonTextLine(body, 200, variesByCoding))
}

export async function postStates(
  db: Store,
  request: HttpRequest,
  context: RequestContext,
): Promise<HttpResponse> {
  const fields = await fieldsOf(request, context, statesFields)
  const refs = parseRefs(fields)
  const { states, forgottenClock } = await db.states(refs, parseAt(fields))
  const body = `{"node":"${db.nodeId}","forgotten_clock":${forgottenClock},"states":[${states.map(stateJson).join(',')}]}`
  return compressed(request, jsonTextLine(body, 200, variesByCoding))
}

/** Streams what is stored of some members, as lines for the `_replicate` of another node. */
export async function postEntries(
  db: Store,
  request: HttpRequest,
  context: RequestContext,
): Promise<HttpResponse> {
  const refs = parseRefs(await fieldsOf(request, context, entriesFields))
  const pages = new ResponsePages(context.connection)
  // The first is read before the response begins, so that one which may not be read is refused.
  let first = refs[0] === undefined ? null : await lineOf(db, refs[0], pages)
  let index = 1
  async function next(): Promise<string | null> {
    for (;;) {
      const line = first ?? (index < refs.length ? await lineOf(db, refs[index++]!, pages) : null)
      first = null
      if (line === null) return null
      context.connection.resetTimeout()
      pages.hold(line.length)
      if (line !== '') return line
    }
  }
  return compressed(
    request,
    responseOf(
      200,
      { 'Content-Type': ndjson, ...variesByCoding },
      streamed(next, () => {}),
    ),
  )
}

const ndjson = 'application/x-ndjson'
const variesByCoding = { Vary: 'Accept-Encoding' }

/** Returns the line of a member or its tombstone, with its line break; empty for neither. */
async function lineOf(db: Store, ref: MemberRef, pages: ResponsePages): Promise<string> {
  const change = await db.latestChange(ref, pages)
  return change === null ? '' : entryLine({ change, isRenewal: false }, db.nodeId)
}

function rangeJson({ to, members, digest }: RangeDigest): string {
  return `{"to":${JSON.stringify(to)},"members":${members},"digest":${digest === null ? null : `"${digest}"`}}`
}

function versionJson({ key, clock, node, expiresAtMs }: KeyVersion): string {
  return `{"key":${JSON.stringify(key)},"origin":{"node":"${node}","clock":${clock}},"expires_at":${expiryJson(expiresAtMs)}}`
}

function stateJson(state: MemberState): string {
  const { type } = state
  if (type === 'none') return '{"type":"none"}'
  const start = `{"type":"${type}","origin":{"node":"${state.node}","clock":${state.clock}}`
  return type === 'put' ? `${start},"expires_at":${expiryJson(state.expiresAtMs)}}` : `${start}}`
}

function expiryJson(expiresAtMs: number | null): string {
  return expiresAtMs === null ? 'null' : `"${formatTime(expiresAtMs)}"`
}

const rangeFields = ['collection', 'from', 'to', 'at'] as const
const digestFields: ReadonlySet<string> = new Set([...rangeFields, 'ends', 'members'])
const versionsFields: ReadonlySet<string> = new Set([...rangeFields, 'limit'])
const statesFields: ReadonlySet<string> = new Set(['members', 'at'])
const entriesFields: ReadonlySet<string> = new Set(['members'])

async function fieldsOf(
  request: HttpRequest,
  context: RequestContext,
  known: ReadonlySet<string>,
): Promise<JsonFields> {
  parametersOf(request, [])
  const fields = asObject(parsedJson(await readBody(request, maxBatchBytes, context)), 'the body')
  refuseOthers(fields, known, 'the body')
  return fields
}

function parseRange(fields: JsonFields) {
  return {
    collection: parseForeignCollection(fields.collection, 'the body'),
    from: parseBound('from', fields.from),
    to: parseBound('to', fields.to),
    atMs: parseAt(fields),
  }
}

/** Parses a bound of a range of keys; missing is null, for none. */
function parseBound(name: string, given: unknown): string | null {
  if (given === undefined || given === null) return null
  if (typeof given === 'string') return parseKey(given)
  throw new KvistError('invalid_request', `"${name}" is a key, or null`)
}

function parseEnds(given: unknown): readonly (string | null)[] {
  const ends = asArray(given, '"ends"').map((end) => parseBound('ends', end))
  if (ends.length >= 1 && ends.length <= maxDigestedRanges) return ends
  throw new KvistError(
    'invalid_request',
    `"ends" has 1 to ${maxDigestedRanges} keys, of which the last may be null`,
  )
}

function parseAt({ at }: JsonFields): number {
  if (typeof at === 'string') return parseTimeMs(at)
  throw new KvistError('invalid_request', '"at" is a time in RFC 3339')
}

function parseCount(name: string, given: unknown, max: number, isNeeded: boolean): number {
  if (given === undefined && !isNeeded) return max
  if (typeof given === 'number' && Number.isInteger(given) && given >= 1 && given <= max) return given
  throw new KvistError('invalid_request', `"${name}" is a whole number from 1 to ${max}`)
}

const refFields: ReadonlySet<string> = new Set(['collection', 'key'])

function parseRefs(fields: JsonFields): MemberRef[] {
  if (fields.members === undefined) throw new KvistError('invalid_request', 'the body has no "members"')
  const given = asArray(fields.members, '"members"')
  if (given.length > maxComparedMembers) {
    throw new KvistError('too_large', `at most ${maxComparedMembers} members at once`, {
      limit: maxComparedMembers,
    })
  }
  return given.map((one, i) => {
    const where = `members[${i}]`
    const ref = asObject(one, where)
    refuseOthers(ref, refFields, where)
    if (typeof ref.key !== 'string') throw new KvistError('invalid_key', `${where} has no "key"`)
    return { collection: parseForeignCollection(ref.collection, where), key: parseKey(ref.key) }
  })
}
