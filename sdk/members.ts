import { checkFields, type Rules } from './checks.ts'
import { KvistNotFoundError } from './errors.ts'
import { expiryQuery } from './expiry.ts'
import { collectionName, memberKey, query } from './names.ts'
import type {
  ConditionOptions,
  PatchOptions,
  PutRawOptions,
  SettingsOptions,
  WaitOptions,
} from './options.ts'
import type { Call, CallOptions, Transport } from './request.ts'
import type { Found, Member, MemberRef, Metadata } from './types.ts'
import { isJson, jsonType, type Parse, revive, type ShownMember } from './values.ts'

/** Builds requests for members, and reads members from responses. */

export function isConditional({ ifRevision, create }: ConditionOptions): boolean {
  return ifRevision !== undefined || create === true
}

export function conditionHeaders({ ifRevision, create }: ConditionOptions): Record<string, string> {
  return {
    ...(ifRevision === undefined ? {} : { 'if-match': ifRevision === 'any' ? '*' : `"${ifRevision}"` }),
    ...(create ? { 'if-none-match': '*' } : {}),
  }
}

/** Returns the request of a put, or of a patch, of the member at a path. */
export function writeCall(
  method: 'PUT' | 'PATCH',
  memberPath: string,
  contentType: string,
  body: Uint8Array | string,
  options: PutRawOptions,
): Call {
  const headers = { 'content-type': contentType, ...conditionHeaders(options) }
  // A patch need not be idempotent.
  const retry = method === 'PUT' && !isConditional(options) ? 'idempotent' : 'if-rejected'
  return { method, path: memberPath + expiryQuery(options), headers, body, retry, options }
}

/** Returns the request of a touch: a patch without a body changes only the expiry. */
export function touchCall(memberPath: string, options: PatchOptions): Call {
  return {
    method: 'PATCH',
    path: memberPath + expiryQuery(options),
    headers: conditionHeaders(options),
    retry: isConditional(options) ? 'if-rejected' : 'idempotent',
    options,
  }
}

/** Returns the revision that the ETag of a response tells; null without one. */
export function revisionOf({ headers }: Response): number | null {
  const revision = /"(\d+)"/.exec(headers.get('etag') ?? '')?.[1]
  return revision === undefined ? null : Number(revision)
}

/** Returns the header for a write of settings that replaces only those of a revision. */
export function settingsCondition({ ifRevision }: SettingsOptions = {}): Record<string, string> {
  if (ifRevision === undefined) return {}
  return ifRevision === null ? { 'if-none-match': '*' } : { 'if-match': `"${ifRevision}"` }
}

/** Returns the metadata of a member from the headers of a response. */
export function metadataOf(key: string, response: Response): Metadata {
  const { headers } = response
  const modified = headers.get('last-modified')
  return {
    key,
    revision: revisionOf(response) ?? Number.NaN,
    modified_at: modified === null ? null : new Date(modified).toISOString(),
    expires_at: headers.get('kvist-expires-at'),
    content_type: headers.get('content-type') ?? '',
  }
}

/**
 * Reads a member from a response. The caller's `parse` is not called yet, because its errors must not count as errors
 * of the connection.
 */
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

/** Reads the text of a response. `Response.text` would drop a byte order mark. */
export async function readText(response: Response): Promise<string> {
  return new TextDecoder('utf-8', { ignoreBOM: true }).decode(await response.arrayBuffer())
}

/**
 * Waits until the member differs from the known revision (null for none) and resolves with it; with `unchanged` after
 * `waitMs`.
 */
export async function waitForChange(
  transport: Transport,
  path: string,
  key: string,
  known: number | null,
  { waitMs = 30_000, ...options }: WaitOptions,
): Promise<Found<unknown> | null | 'unchanged'> {
  const call: Call = {
    method: 'GET',
    path: path + query({ wait: waitMs / 1000 }),
    headers: { 'if-none-match': `"${known ?? 0}"` },
    retry: 'idempotent',
    also: [304],
    extraMs: waitMs,
    options,
  }
  const read = async (response: Response) =>
    response.ok ? readFound(transport, key, response) : ('unchanged' as const)
  return transport.send(call, read).catch(nullWhenNotFound)
}

/** Returns several members, read at one moment, in the order of the references; null for each that does not exist. */
export async function readMembers<T>(
  transport: Transport,
  members: readonly MemberRef[],
  parse: Parse<T> | null,
  options: CallOptions | undefined,
): Promise<(Member<T> | null)[]> {
  checkRefs(members)
  const read = await transport.send(
    {
      method: 'POST',
      path: '/v1/_read',
      headers: { 'content-type': jsonType },
      body: JSON.stringify({ members }),
      retry: 'idempotent',
      options,
    },
    transport.json<{ readonly members: readonly (ShownMember | null)[] }>,
  )
  return read.members.map((member) => (member === null ? null : revive<T, Member<T>>(member, parse)))
}

/** Throws a KvistInputError unless all are references of members. */
export function checkRefs(members: readonly MemberRef[]): void {
  members.forEach((member, i) => void checkFields(member, refRules, `members[${i}]: `))
}

const refRules: Rules<MemberRef> = { collection: collectionName, key: memberKey }

/** Turns a KvistNotFoundError into null, for `catch`; throws any other error. */
export function nullWhenNotFound(error: unknown): null {
  if (error instanceof KvistNotFoundError) return null
  throw error
}
