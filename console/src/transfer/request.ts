import { KvistHttpError, type Problem } from 'kvist-client'
import { session } from '../api/session.svelte.ts'

/** Requests that the client does not make: bodies that are streams, and lines that must stay as they are written. */

interface Asked {
  readonly method?: 'POST'
  readonly headers: Readonly<Record<string, string>>
  readonly query?: URLSearchParams
  readonly body?: string
  readonly signal: AbortSignal
}

export function requestCollection(
  collection: string,
  { query, headers, ...asked }: Asked,
): Promise<Response> {
  const { authorization } = session
  const path = `/v1/${encodeURIComponent(collection)}${query === undefined ? '' : `?${query}`}`
  return fetch(path, {
    ...asked,
    headers: { ...headers, ...(authorization !== null && { Authorization: authorization }) },
  })
}

export async function errorOf(response: Response): Promise<KvistHttpError> {
  const problem: Problem | null = await response.json().catch(() => null)
  return new KvistHttpError(response.status, problem?.detail ?? response.statusText, problem, null)
}
