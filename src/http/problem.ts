import { type ErrorCode, KvistError } from '../core/errors.ts'
import { type Fields, responseOf } from './response.ts'
import type { Problem, Refuse } from './route.ts'
import type { HttpResponse } from './wire/response.ts'

/** The status and title of each error code, for problem details (RFC 9457). */
const responses: Record<ErrorCode, readonly [status: number, title: string]> = {
  invalid_request: [400, 'Bad request'],
  invalid_json: [400, 'Not JSON'],
  invalid_key: [400, 'Bad key'],
  key_too_long: [414, 'Key too long'],
  invalid_collection: [400, 'Bad collection name'],
  invalid_parameter: [400, 'Bad parameter'],
  invalid_cursor: [400, 'Bad cursor'],
  invalid_where: [400, 'Bad filter'],
  unauthorized: [401, 'Not allowed in'],
  forbidden: [403, 'Forbidden'],
  forbidden_origin: [403, 'Forbidden origin'],
  misdirected: [421, 'Misdirected request'],
  rate_limited: [429, 'Too many requests'],
  not_found: [404, 'Not found'],
  compacted: [410, 'Compacted'],
  conflict: [409, 'Conflict'],
  precondition_failed: [412, 'Precondition failed'],
  range_not_satisfiable: [416, 'Range not satisfiable'],
  too_large: [413, 'Too large'],
  unsupported_media_type: [415, 'Unsupported media type'],
  unprocessable: [422, 'Cannot be done'],
  invalid_schema: [400, 'Bad schema'],
  schema_violation: [422, 'Schema broken'],
  no_index: [422, 'No index'],
  not_unique: [409, 'Not unique'],
  quota_exceeded: [422, 'Quota exceeded'],
  busy: [503, 'Too busy'],
  unavailable: [503, 'Unavailable'],
  lookup_failed: [503, 'Lookup failed'],
  not_leader: [307, 'Another server takes writes'],
  read_only: [503, 'Read only'],
  not_implemented: [501, 'Not implemented'],
  loop_detected: [508, 'Loop detected'],
  outcome_unknown: [504, 'Outcome unknown'],
  closing: [503, 'Stopping'],
  damaged: [500, 'Damaged'],
  storage_failed: [503, 'Storage failed'],
  storage_full: [507, 'Storage full'],
}

/** Retry-After in seconds, for statuses after which the same request may succeed. */
const retryAfterSeconds: Record<number, string> = { 503: '1', 507: '10' }

export function statusOf(code: ErrorCode): number {
  return responses[code][0]
}

/**
 * Returns the problem document of an error. An error that is not a KvistError is reported as internal, without its
 * message.
 */
export function problemOf(error: unknown): Problem {
  if (!(error instanceof KvistError)) {
    return {
      type: 'urn:kvist:internal',
      title: 'Internal error',
      status: 500,
      code: 'internal',
      detail: 'kvist failed',
    }
  }
  const { code, message, extra } = error
  const [status, title] = responses[code]
  return { type: `urn:kvist:${code}`, title, status, code, detail: message, ...extra }
}

/** Formats a problem as problem details. */
const problemDetails: Refuse = (problem, fields) =>
  responseOf(
    problem.status,
    { 'Content-Type': 'application/problem+json', ...fields },
    `${JSON.stringify(problem)}\n`,
  )

/**
 * Returns the response to an error, with additional headers and members of the problem, in the error format of
 * `refuse`.
 */
export function problemResponse(
  error: unknown,
  fields: Fields = {},
  members: Readonly<Record<string, unknown>> = {},
  refuse: Refuse = problemDetails,
): HttpResponse {
  const problem = { ...problemOf(error), ...members }
  const retryAfter = retryAfterOf(problem)
  return refuse(problem, {
    ...(retryAfter === undefined ? {} : { 'Retry-After': retryAfter }),
    ...(typeof problem.accept_encoding === 'string' ? { 'Accept-Encoding': problem.accept_encoding } : {}),
    ...(problem.status === 401 ? { 'WWW-Authenticate': 'Bearer' } : {}),
    ...fields,
  })
}

/** Returns the seconds after which the request may succeed: those of the error itself, or of its status. */
function retryAfterOf({ status, retry_after_seconds: own }: Problem): string | undefined {
  return typeof own === 'number' ? String(own) : retryAfterSeconds[status]
}

/** Returns a 405 response that lists the methods of a path. */
export function methodNotAllowed(
  method: string,
  allowed: readonly string[],
  refuse: Refuse = problemDetails,
): HttpResponse {
  const allow = allowed.join(', ')
  const problem = {
    type: 'urn:kvist:method_not_allowed',
    title: 'Method not allowed',
    status: 405,
    code: 'method_not_allowed',
    detail: `${method} is not done here; ${allow} ${allowed.length === 1 ? 'is' : 'are'}`,
  }
  return refuse(problem, { Allow: allow })
}
