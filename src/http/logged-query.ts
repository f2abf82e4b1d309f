import type { HttpRequest } from './wire/request.ts'

/**
 * Parameters of `/v1` that may be in a log. All others may not: a `ticket` opens a door, `match` names values, and the
 * dialects have values in theirs.
 */
const loggedParameters: ReadonlySet<string> = new Set([
  'collection',
  'expire_at',
  'expire_in',
  'filter',
  'from',
  'prefix',
  'to',
])

/** Longer paths and queries are truncated in logs; keys are shorter. */
const maxLogged = 2048

/** A token that somebody has put into a URL, `DELETE /v1/_tokens/<token>` say. */
const tokenForm = /(kvist_[0-9a-z]{12}_)[A-Za-z0-9_-]+/g

function redacted(text: string): string {
  return text.includes('kvist_') ? text.replace(tokenForm, '$1…') : text
}

/** Returns the path of a request for a log, as it was sent but without the secrets of tokens. */
export function loggedPath({ path }: HttpRequest): string {
  return redacted(path.slice(0, maxLogged))
}

/** Returns what of the query of a `/v1` request may be in a log, as it was sent; undefined if nothing may. */
export function loggedQuery({ path, query }: HttpRequest): string | undefined {
  if (query === null || !path.startsWith('/v1')) return undefined
  const pairs = query.split('&').filter((pair) => loggedParameters.has(pair.split('=', 1)[0]!))
  return pairs.length === 0 ? undefined : redacted(pairs.join('&').slice(0, maxLogged))
}
