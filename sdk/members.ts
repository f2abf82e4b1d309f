import { KvistInputError, KvistNotFoundError } from './errors.ts'
import { query } from './names.ts'
import type { ConditionOptions, ExpiryOptions } from './options.ts'
import type { Transport } from './request.ts'
import type { Found, Metadata } from './types.ts'
import { isJson } from './values.ts'

/** What requests for members carry beside a value, and what responses do. */

export function isConditional({ ifRevision, create }: ConditionOptions): boolean {
  return ifRevision !== undefined || create === true
}

export function conditionHeaders({ ifRevision, create }: ConditionOptions): Record<string, string> {
  return {
    ...(ifRevision === undefined ? {} : { 'if-match': ifRevision === 'any' ? '*' : `"${ifRevision}"` }),
    ...(create ? { 'if-none-match': '*' } : {}),
  }
}

/** Throws KvistInputError when both are given. */
export function expiryQuery({ expireIn, expireAt }: ExpiryOptions): string {
  if (expireIn !== undefined && expireAt !== undefined)
    throw new KvistInputError('expireIn and expireAt are both given: leave one out')
  return query({
    expire_in: expireIn,
    expire_at: expireAt instanceof Date ? expireAt.toISOString() : expireAt,
  })
}

/** Metadata comes in headers. */
export function metadataOf(key: string, { headers }: Response): Metadata {
  return {
    key,
    revision: Number(/"(\d+)"/.exec(headers.get('etag') ?? '')?.[1]),
    // Within a second of the write there is no Last-Modified yet.
    modified_at: new Date(headers.get('last-modified') ?? headers.get('date') ?? '').toISOString(),
    expires_at: headers.get('kvist-expires-at'),
    content_type: headers.get('content-type') ?? '',
  }
}

/** The value is not parsed yet: what a caller's `parse` throws is no fault of the connection. */
export async function readFound(
  transport: Transport,
  key: string,
  response: Response,
): Promise<Found<unknown>> {
  const metadata = metadataOf(key, response)
  const value: unknown = isJson(metadata.content_type)
    ? await transport.json(response)
    : new Uint8Array(await response.arrayBuffer())
  return { ...metadata, value }
}

/** For `catch`: that there is no such member is a result, too. */
export function nullWhenNotFound(error: unknown): null {
  if (error instanceof KvistNotFoundError) return null
  throw error
}
