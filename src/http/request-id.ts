import type { HttpRequest } from './wire/request.ts'

/** The header under which a client can name its request, and finds the name that the log has. */
export const requestIdHeader = 'X-Request-Id'

const ids = new WeakMap<HttpRequest, string>()

/**
 * The name of a request in the log: what the client or a proxy before it called it, where that is short and plain, or a
 * new one. Made when it is asked for first; most requests go without.
 */
export function requestId(request: HttpRequest): string {
  const known = ids.get(request)
  if (known !== undefined) return known
  const given = request.header('x-request-id') ?? ''
  const id = /^[\x21-\x7e]{1,128}$/.test(given) ? given : Bun.randomUUIDv7()
  ids.set(request, id)
  return id
}
