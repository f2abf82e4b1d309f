import { KvistHttpError, KvistNotFoundError, KvistUnreachableError, type Problem } from 'kvist-client'
import { collectionPath, memberPath, query } from '../../../sdk/names.ts'
import { session } from '../api/session.svelte.ts'
import { textOf } from './value-kinds.ts'
import { parseListed, type Version } from './version.ts'

/**
 * Reads members with the bytes of their values. The client parses JSON, and would lose how numbers are written. A member is
 * read from a list of it alone, because that has all metadata, and does not renew a sliding expiry: that somebody looks at a
 * session in the console must not keep it alive.
 */

/** Larger values are loaded when a person asks for them. */
export const maxUnaskedBytes = 1024 * 1024
/** Of a list with the member: escapes and base64 make it longer than the value is. */
const maxListedBytes = 1.5 * maxUnaskedBytes

/** Returns a member; null if there is none. */
export async function readMember(collection: string, key: string): Promise<Version | null> {
  const path = `${collectionPath(collection)}${query({ prefix: key, limit: 1, include: 'all' })}`
  const response = await request(path)
  const listed = await boundedBytes(response, maxListedBytes)
  if (listed !== null) return parseListed(listed, key)
  const head = await request(memberPath(collectionPath(collection), key), 'HEAD').catch(nullIfNotFound)
  if (head === null) return null
  const bytes = Number(head.headers.get('content-length'))
  if (bytes <= maxUnaskedBytes) return readValue(collection, key)
  return { ...metadataOf(head), bytes, value: null, text: null }
}

/** Reads a value of any size; with `at`, what it was at a revision, from the archive of the server. */
export async function readValue(collection: string, key: string, at?: number): Promise<Version | null> {
  const path = memberPath(collectionPath(collection), key) + query({ at })
  const response = await request(path).catch(nullIfNotFound)
  if (response === null) return null
  const value = new Uint8Array(await response.arrayBuffer())
  return { ...metadataOf(response), bytes: value.length, value, text: textOf(value) }
}

function metadataOf({ headers }: Response): Omit<Version, 'bytes' | 'value' | 'text'> {
  return {
    revision: Number(/"(\d+)"/.exec(headers.get('etag') ?? '')?.[1] ?? 0),
    contentType: headers.get('content-type') ?? 'application/octet-stream',
    createdAt: null,
    updatedAt: headers.has('last-modified') ? new Date(headers.get('last-modified')!).toISOString() : null,
    expiresAt: headers.get('kvist-expires-at'),
    flags: 0,
    origin: null,
  }
}

/** Returns the body, or null when it is longer; the rest is then not loaded. */
async function boundedBytes(response: Response, maxBytes: number): Promise<Uint8Array | null> {
  const parts: Uint8Array[] = []
  let bytes = 0
  const reader = response.body!.getReader()
  for (;;) {
    const { done, value } = await reader.read()
    if (done) break
    bytes += value.length
    if (bytes > maxBytes) {
      await reader.cancel()
      return null
    }
    parts.push(value)
  }
  const all = new Uint8Array(bytes)
  let at = 0
  for (const part of parts) {
    all.set(part, at)
    at += part.length
  }
  return all
}

/** Sends a request of this tab, and fails as the client would. */
async function request(path: string, method = 'GET'): Promise<Response> {
  const headers = session.authorization === null ? {} : { authorization: session.authorization }
  const response = await fetch(path, { method, headers }).catch((cause) => {
    throw new KvistUnreachableError(location.origin, cause)
  })
  if (response.ok) return response
  const problem: Problem | null = await response.json().catch(() => null)
  const detail = problem?.detail ?? `the server responded with ${response.status}`
  const HttpError = response.status === 404 ? KvistNotFoundError : KvistHttpError
  throw new HttpError(response.status, detail, problem, null)
}

function nullIfNotFound(error: unknown): null {
  if (error instanceof KvistNotFoundError) return null
  throw error
}
