import { isUtf8 } from 'node:buffer'
import type { MemberRef } from '../../core/engine.ts'
import { smallPageBytes } from '../../core/limits.ts'
import type { Member, Value } from '../../core/member.ts'
import type { PageMemory } from '../../core/page-memory.ts'
import type { Store } from '../../core/store.ts'
import { compressed } from '../compression.ts'
import type { RequestContext } from '../context.ts'
import type { ResponseDocs, Schema } from '../operation.ts'
import { ResponsePages } from '../page-memory.ts'
import { type Fields, jsonResponse, responseOf, streamed } from '../response.ts'
import type { HttpResponse } from '../wire/response.ts'

/** Serializes a value within JSON: JSON unchanged; bytes as text if they are UTF-8, else in base64. */
export function valueJson(value: Value): string {
  return typeof value === 'string' ? value : JSON.stringify(bytesText(value))
}

/** Returns a value as text: the text of a JSON string, other JSON unchanged; bytes as above. */
export function valueText(value: Value): string {
  if (typeof value !== 'string') return bytesText(value)
  const parsed: unknown = /^\s*"/.test(value) ? JSON.parse(value) : value
  return String(parsed)
}

function bytesText(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString(isUtf8(bytes) ? 'utf8' : 'base64')
}

/**
 * As `Database.get`, for a response with the value. Reading a large value waits for memory, which is held until the
 * response is sent.
 */
export async function getShown(
  db: Store,
  { collection, key }: MemberRef,
  { connection }: RequestContext,
): Promise<Member | null> {
  const pages = new ResponsePages(connection)
  if (!pages.fits) {
    const head = await db.getHead(collection, key)
    if (head !== null && head.valueBytes > smallPageBytes) await pages.reserve(head.valueBytes)
  }
  const member = await db.get(collection, key)
  pages.hold(member?.value.length ?? 0)
  return member
}

/**
 * Responds with all members as one JSON array between two texts, in constant memory, as fast as the client reads. A
 * list that fits into one part is sent whole, with its length.
 */
export async function listResponse(
  partsOf: (memory: PageMemory) => AsyncGenerator<Member[]>,
  shape: (member: Member) => string,
  [before, after]: readonly [string, string],
  context: RequestContext,
  fields: Fields = {},
): Promise<HttpResponse> {
  const pages = new ResponsePages(context.connection)
  const parts = partsOf(pages)
  const first = await nextText(parts, shape, context)
  const second = first === null ? null : await nextText(parts, shape, context)
  pages.hold((first?.length ?? 0) + (second?.length ?? 0))
  const varied = { Vary: 'Accept-Encoding', ...fields }
  if (second === null) {
    return compressed(context.request, jsonResponse(before + (first ?? '') + after, 200, varied))
  }

  const waiting: (string | null)[] = [`${before}${first}`, `,${second}`]
  let hasEnded = false
  async function next(): Promise<string | null> {
    if (hasEnded) return null
    const begun = waiting.shift()
    if (begun != null) return begun
    pages.hold(0)
    const text = await nextText(parts, shape, context, ',')
    pages.hold(text?.length ?? 0)
    hasEnded = text === null
    return text ?? after
  }
  const body = streamed(next, () => void parts.return(undefined))
  return compressed(context.request, responseOf(200, { 'Content-Type': 'application/json', ...varied }, body))
}

/** Returns the text of the next part that has members; null at the end. */
async function nextText(
  parts: AsyncGenerator<Member[]>,
  shape: (member: Member) => string,
  context: RequestContext,
  before = '',
): Promise<string | null> {
  for (;;) {
    context.connection.resetTimeout()
    const part = await parts.next()
    if (part.done) return null
    if (part.value.length > 0) return before + part.value.map(shape).join(',')
  }
}

/** Documents a JSON response. */
export function jsonDocs(description: string, example: unknown, schema: Schema = {}): ResponseDocs {
  return { description, content: { 'application/json': { schema, example } } }
}
