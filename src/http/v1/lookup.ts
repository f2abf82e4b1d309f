import type { MemberRef } from '../../core/engine.ts'
import { KvistError } from '../../core/errors.ts'
import {
  maxBatchBytes,
  maxLookupMembers,
  maxReadBytes,
  maxValueBytes,
  smallPageBytes,
} from '../../core/limits.ts'
import type { Member, MemberHead, Tombstone } from '../../core/member.ts'
import { withNodeId } from '../../core/origin.ts'
import type { Store } from '../../core/store.ts'
import { formatTime } from '../../core/time.ts'
import { parsedJson, readBody } from '../body.ts'
import type { RequestContext } from '../context.ts'
import { ResponsePages } from '../page-memory.ts'
import { parametersOf } from '../path.ts'
import { jsonTextLine } from '../response.ts'
import type { HttpRequest } from '../wire/request.ts'
import type { HttpResponse } from '../wire/response.ts'
import { asObject, type JsonFields, refuseOthers } from './fields.ts'
import { parseMembers } from './read.ts'

/**
 * `POST /v1/_lookup`: what this node holds of some members, tombstones included, with their origins. The store that it
 * reads never asks other nodes, so a question is not passed on.
 */
export async function postLookup(
  db: Store,
  request: HttpRequest,
  context: RequestContext,
): Promise<HttpResponse> {
  parametersOf(request, [])
  const body = asObject(parsedJson(await readBody(request, maxBatchBytes, context)), 'the lookup')
  refuseOthers(body, bodyFields, 'the lookup')
  const maxBytes = parseMaxBytes(body)
  const pages = new ResponsePages(context.connection)
  const versions: string[] = []
  let bytes = 0
  for (const ref of parseMembers(body, 'the lookup', maxLookupMembers)) {
    const head = await db.getHead(ref.collection, ref.key)
    const isSent = head !== null && head.valueBytes <= maxBytes
    bytes += isSent ? head.valueBytes : 0
    if (bytes > maxReadBytes) throw tooLarge()
    if (bytes > smallPageBytes) await pages.reserve(bytes)
    versions.push(await versionJson(db, ref, head, isSent))
  }
  pages.hold(bytes)
  return jsonTextLine(`{"node":"${db.nodeId}","versions":[${versions.join(',')}]}`)
}

const bodyFields: ReadonlySet<string> = new Set(['members', 'max_value_bytes'])

function parseMaxBytes({ max_value_bytes: given = 0 }: JsonFields): number {
  if (Number.isSafeInteger(given) && Number(given) >= 0) return Math.min(Number(given), maxValueBytes)
  throw new KvistError('invalid_request', '"max_value_bytes" is not a number of bytes')
}

function tooLarge(): KvistError {
  const detail = `the values come to more than ${maxReadBytes} bytes: ask for fewer at once`
  return new KvistError('too_large', detail, { limit_bytes: maxReadBytes })
}

async function versionJson(
  db: Store,
  { collection, key }: MemberRef,
  head: MemberHead | null,
  isSent: boolean,
): Promise<string> {
  if (head !== null && !isSent) return memberJson(head, {}, db.nodeId)
  const page = await db.changes({ collection, key, prefix: null, filter: null }, '', 1)
  const change = page.events[0]?.change
  if (change === undefined) return 'null'
  if (change.type !== 'put')
    return JSON.stringify({ type: change.type, origin: originOf(change.tombstone, db.nodeId) })
  const { member } = change
  return memberJson(
    { ...member, valueBytes: Buffer.byteLength(member.value) },
    valueFields(member),
    db.nodeId,
  )
}

function originOf(version: Pick<Tombstone, 'node' | 'clock'>, nodeId: string) {
  const { node, clock } = withNodeId(version, nodeId)
  return { node, clock }
}

function memberJson(head: MemberHead, value: object, nodeId: string): string {
  const { createdAtMs, expiresAtMs, contentType, flags, valueBytes } = head
  return JSON.stringify({
    type: 'put',
    origin: originOf(head, nodeId),
    created_at: formatTime(createdAtMs),
    expires_at: expiresAtMs === null ? null : formatTime(expiresAtMs),
    content_type: contentType,
    flags,
    value_bytes: valueBytes,
    ...value,
  })
}

function valueFields({ value }: Member) {
  if (typeof value === 'string') return { value_text: value }
  return { value_base64: Buffer.from(value.buffer, value.byteOffset, value.length).toString('base64') }
}
