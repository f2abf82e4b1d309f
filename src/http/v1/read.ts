import type { MemberRef } from '../../core/engine.ts'
import { KvistError } from '../../core/errors.ts'
import { maxBatchBytes, maxReadBytes, maxReadMembers, smallPageBytes } from '../../core/limits.ts'
import type { Member } from '../../core/member.ts'
import type { Store } from '../../core/store.ts'
import { parsedJson, readBody } from '../body.ts'
import { compressed } from '../compression.ts'
import type { RequestContext } from '../context.ts'
import { ResponsePages } from '../page-memory.ts'
import { parametersOf } from '../path.ts'
import { jsonResponse } from '../response.ts'
import type { HttpRequest } from '../wire/request.ts'
import type { HttpResponse } from '../wire/response.ts'
import { asArray, asObject, type JsonFields, parseRef, refuseOthers } from './fields.ts'
import { MemberWriter, memberShape } from './member-writer.ts'
import { listPieces, pieceChars, streamedPieces } from './pieces.ts'
import { scanRefs } from './ref-scan.ts'
import { joinedMembers, memberPieces } from './serializers.ts'

/** `POST /v1/_read`: reads many members from one snapshot, in the order of the request. */
export async function readMembers(
  db: Store,
  request: HttpRequest,
  context: RequestContext,
): Promise<HttpResponse> {
  parametersOf(request, [])
  const sent = await readBody(request, maxBatchBytes, context)
  const refs = scanRefs(sent, maxReadMembers) ?? parseRefs(parsedJson(sent))
  const pages = new ResponsePages(context.connection)
  const visited = visitSmall(db, refs, pages)
  if (visited !== null) return compressed(request, jsonResponse(visited, 200, variesByCoding))
  const members = (await readSmall(db, refs, pages)) ?? (await readLarge(db, refs, pages))
  const bytes = bytesOf(members)
  pages.hold(bytes)
  const body =
    bytes <= pieceChars
      ? joinedMembers(before, members, memberShape, after)
      : streamedPieces(listPieces(before, members, entryPieces, after), context)
  return compressed(request, jsonResponse(body, 200, variesByCoding))
}

/** As `readSmall`, but returns the response's body; null also where members cannot be visited. */
function visitSmall(db: Store, refs: readonly MemberRef[], pages: ResponsePages): Uint8Array | null {
  const writer = new MemberWriter(before, refs.length)
  const visited = db.visitMany(refs, smallPageBytes, writer)
  if (visited === null) return null
  const { valueBytes } = writer
  if (visited < refs.length || valueBytes > smallPageBytes) {
    pages.discard(valueBytes)
    return null
  }
  pages.hold(valueBytes)
  return writer.end(after, pages.connection)
}

/** Reads the members; null when their values exceed what may be read without waiting for memory. */
async function readSmall(
  db: Store,
  refs: readonly MemberRef[],
  pages: ResponsePages,
): Promise<(Member | null)[] | null> {
  const members = await db.readMany(refs, smallPageBytes)
  const bytes = bytesOf(members)
  if (members.length === refs.length && bytes <= smallPageBytes) return members
  pages.discard(bytes)
  return null
}

/** Reads the lengths of the values first: all are read from one snapshot, so there must be memory for all. */
async function readLarge(
  db: Store,
  refs: readonly MemberRef[],
  pages: ResponsePages,
): Promise<(Member | null)[]> {
  let bytes = 0
  for (const { collection, key } of refs) {
    const head = db.getHead(collection, key)
    bytes += (head instanceof Promise ? await head : head)?.valueBytes ?? 0
    if (bytes > maxReadBytes) throw tooLarge()
  }
  await pages.reserve(bytes)
  const members = await db.readMany(refs, maxReadBytes)
  if (members.length < refs.length || bytesOf(members) > maxReadBytes) throw tooLarge()
  return members
}

function bytesOf(members: readonly (Member | null)[]): number {
  return members.reduce((bytes, member) => bytes + (member?.value.length ?? 0), 0)
}

function tooLarge(): KvistError {
  const detail = `the values come to more than ${maxReadBytes} bytes: read fewer at once`
  return new KvistError('too_large', detail, { limit_bytes: maxReadBytes })
}

const bodyFields: ReadonlySet<string> = new Set(['members'])
const refFields: ReadonlySet<string> = new Set(['collection', 'key'])

function parseRefs(parsed: unknown): MemberRef[] {
  const body = asObject(parsed, 'the read')
  refuseOthers(body, bodyFields, 'the read')
  return parseMembers(body, 'the read', maxReadMembers)
}

/** Returns the references in `members` of a body. Throws for none, and for more than `limit`. */
export function parseMembers(body: JsonFields, where: string, limit: number): MemberRef[] {
  const given = asArray(body.members, 'members')
  if (body.members === undefined) throw new KvistError('invalid_request', `${where} has no "members"`)
  if (given.length > limit) {
    throw new KvistError('too_large', `at most ${limit} members can be read at once`, { limit })
  }
  return given.map((one, i) => {
    const at = `members[${i}]`
    const fields = asObject(one, at)
    refuseOthers(fields, refFields, at)
    return parseRef(fields, at)
  })
}

const before = '{"members":['
const after = ']}\n'

const variesByCoding = { Vary: 'Accept-Encoding' }

function entryPieces(member: Member | null): Iterable<string> {
  return member === null ? ['null'] : memberPieces(member, memberShape)
}
