import type { HttpRequest } from './wire/request.ts'

/** The header in which a client may send a request id, and in which errors return it. */
export const requestIdHeader = 'X-Request-Id'

const ids = new WeakMap<HttpRequest, string>()

/**
 * Returns the id of a request in the log: the one that the client or a proxy sent, if it is short visible ASCII, or a
 * new one. Created on first use; most requests need none.
 */
export function requestId(request: HttpRequest): string {
  const known = ids.get(request)
  if (known !== undefined) return known
  const given = request.header('x-request-id') ?? ''
  const id = /^[\x21-\x7e]{1,128}$/.test(given) ? given : Bun.randomUUIDv7()
  ids.set(request, id)
  return id
}
