import type { Database } from '../../core/database.ts'
import type { MemberRef } from '../../core/engine.ts'
import { KvistError } from '../../core/errors.ts'
import { maxBatchBytes, maxReadBytes, maxReadMembers } from '../../core/limits.ts'
import type { Member } from '../../core/member.ts'
import { jsonText, readBody } from '../body.ts'
import { compressed } from '../compression.ts'
import type { RequestContext } from '../context.ts'
import { parametersOf } from '../path.ts'
import { type HttpResponse, jsonResponse, responseOf, streamed } from '../response.ts'
import type { HttpRequest } from '../wire/request.ts'
import { asArray, asObject, parseRef, refuseOthers } from './fields.ts'
import { type MemberShape, memberJson } from './shapes.ts'

/** `POST /v1/_read`: many members at once, of one moment, in the order in which they are asked for. */
export async function readMembers(
  db: Database,
  request: HttpRequest,
  context: RequestContext,
): Promise<HttpResponse> {
  parametersOf(request, [])
  const refs = parseRefs(jsonText(await readBody(request, maxBatchBytes, context)))
  const members = await db.readMany(refs, maxReadBytes)
  if (members.length < refs.length || bytesOf(members) > maxReadBytes) throw tooLarge()
  return compressed(request, inOnePiece(members) ?? inParts(members, context))
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

function parseRefs(text: string): MemberRef[] {
  const body = asObject(JSON.parse(text), 'the read')
  refuseOthers(body, bodyFields, 'the read')
  const given = asArray(body.members, 'members')
  if (body.members === undefined) throw new KvistError('invalid_request', 'the read has no "members"')
  if (given.length > maxReadMembers) {
    throw new KvistError('too_large', `at most ${maxReadMembers} members can be read at once`, {
      limit: maxReadMembers,
    })
  }
  return given.map((one, i) => {
    const where = `members[${i}]`
    const fields = asObject(one, where)
    refuseOthers(fields, refFields, where)
    return parseRef(fields, where)
  })
}

const before = '{"members":['
const after = ']}\n'

const variesByCoding = { Vary: 'Accept-Encoding' }

/** A larger response is made while it is sent: what was made would be held beside what it was made from. */
const pieceChars = 256 * 1024

function inOnePiece(members: readonly (Member | null)[]): HttpResponse | null {
  let chars = 0
  for (const member of members) if (member !== null) chars += member.value.length
  if (chars > pieceChars) return null
  return jsonResponse(before + members.map(entryJson).join(',') + after, 200, variesByCoding)
}

function inParts(members: (Member | null)[], { connection }: RequestContext): HttpResponse {
  let at = 0
  async function next(): Promise<string | null> {
    if (at > members.length) return null
    connection.resetTimeout()
    let text = at === 0 ? before : ''
    for (; at < members.length && text.length < pieceChars; at++) {
      text += (at === 0 ? '' : ',') + entryJson(members[at]!)
      // It is sent: only what is still to be sent is held.
      members[at] = null
    }
    if (at < members.length) return text
    at++
    return text + after
  }
  return responseOf(
    200,
    { 'Content-Type': 'application/json', ...variesByCoding },
    streamed(next, () => members.splice(0)),
  )
}

/** As a list shows members. */
const shape: MemberShape = { include: 'metadata', nodeId: '' }

function entryJson(member: Member | null): string {
  return member === null ? 'null' : memberJson(member, shape)
}
