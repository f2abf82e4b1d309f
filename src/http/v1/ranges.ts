import type { MemberRef } from '../../core/engine.ts'
import { KvistError } from '../../core/errors.ts'
import { smallBytes } from '../../core/limits.ts'
import type { Member, MemberHead } from '../../core/member.ts'
import { type ByteRange, parseByteRange } from '../byte-range.ts'
import type { RequestContext } from '../context.ts'
import { problemResponse } from '../problem.ts'
import { headerBits } from '../wire/head.ts'
import type { HttpRequest } from '../wire/request.ts'
import type { HttpResponse } from '../wire/response.ts'
import { readVerdict } from './conditions.ts'
import { memberHeaders } from './member-headers.ts'
import type { Watching } from './watch.ts'

/** Responses to range requests (RFC 9110, 14): a part of a value, by which a download goes on. */

const rangeBit = headerBits(['range'])

export function asksForRange(request: HttpRequest): boolean {
  return (request.present & rangeBit) !== 0 && request.method === 'GET'
}

/** Returns the response with the range of a value that was read; null when the client gets the whole value. */
export function rangeOfMember(request: HttpRequest, member: Member, nowMs: number): HttpResponse | null {
  if (!isSameAsBefore(request, member)) return null
  const { value } = member
  const bytes = typeof value === 'string' ? Buffer.from(value) : value
  const range = parseByteRange(request.header('range')!, bytes.length)
  if (range === null) return null
  if (range === 'unsatisfiable') return unsatisfiable(bytes.length)
  return partResponse(memberHeaders(member, nowMs), range, bytes.length, bytes.subarray(range.from, range.to))
}

/**
 * As `rangeOfMember`, of a large value that was not read: reads the range alone. Null also for a small value, and where
 * the conditions of the request make the response another.
 */
export async function partOfLargeValue(
  { db, values }: Watching,
  request: HttpRequest,
  ref: MemberRef,
  context: RequestContext,
): Promise<HttpResponse | null> {
  for (;;) {
    const head = await db.getHead(ref.collection, ref.key)
    if (head === null || head.valueBytes <= smallBytes || !isSameAsBefore(request, head)) return null
    if (readVerdict(request, head, context.now()) !== 'send') return null
    const { valueBytes } = head
    const range = parseByteRange(request.header('range')!, valueBytes)
    if (range === null) return null
    if (range === 'unsatisfiable') return unsatisfiable(valueBytes)
    // All responses with the whole value share it.
    if (range.to - range.from === valueBytes) return null
    const part = await values.part(ref, head, range.from, range.to, context.connection)
    // Null: another version was written meanwhile.
    if (part !== null) return partResponse(headersOf(head, context), range, valueBytes, part)
  }
}

function headersOf({ valueBytes: _, ...member }: MemberHead, context: RequestContext): string {
  return memberHeaders({ ...member, value: '' }, context.now())
}

function partResponse(
  memberHeaderBlock: string,
  { from, to }: ByteRange,
  totalBytes: number,
  body: Uint8Array,
): HttpResponse {
  const headerBlock = `${memberHeaderBlock}Content-Range: bytes ${from}-${to - 1}/${totalBytes}\r\n`
  return { status: 206, headerBlock, body }
}

function unsatisfiable(totalBytes: number): HttpResponse {
  const detail = `the value has ${totalBytes} bytes`
  const error = new KvistError('range_not_satisfiable', detail, { total_bytes: totalBytes })
  return problemResponse(error, { 'Content-Range': `bytes */${totalBytes}` })
}

/**
 * Whether If-Range is absent or names this revision. A date proves nothing: two values may have been written in the
 * same second.
 */
function isSameAsBefore(request: HttpRequest, { revision }: Pick<Member, 'revision'>): boolean {
  const ifRange = request.header('if-range')
  return ifRange === null || ifRange === `"${revision}"`
}
