/**
 * The errors of the client. All are KvistErrors, with one exception: a call that its own `signal` aborted rejects with
 * the signal's reason, as `fetch` does. An error that a caller's `parse` throws is wrapped in a KvistValueError.
 */

/** The codes of kvist's error responses. A newer server may have others. */
export type ResponseCode =
  | 'busy'
  | 'closing'
  | 'compacted'
  | 'conflict'
  | 'damaged'
  | 'forbidden'
  | 'forbidden_origin'
  | 'internal'
  | 'invalid_collection'
  | 'invalid_cursor'
  | 'invalid_where'
  | 'invalid_json'
  | 'invalid_key'
  | 'invalid_parameter'
  | 'invalid_request'
  | 'invalid_schema'
  | 'key_too_long'
  | 'lookup_failed'
  | 'not_implemented'
  | 'loop_detected'
  | 'method_not_allowed'
  | 'misdirected'
  | 'not_found'
  | 'not_leader'
  | 'outcome_unknown'
  | 'precondition_failed'
  | 'no_index'
  | 'not_unique'
  | 'quota_exceeded'
  | 'range_not_satisfiable'
  | 'rate_limited'
  | 'read_only'
  | 'schema_violation'
  | 'storage_failed'
  | 'storage_full'
  | 'too_large'
  | 'unauthorized'
  | 'unavailable'
  | 'unprocessable'
  | 'unsupported_media_type'

/** The code of an error: that of the response, or of the client. Editors complete it; any other text is possible. */
export type ErrorCode =
  | ResponseCode
  | 'unreachable'
  | 'timeout'
  | 'invalid_input'
  | 'invalid_value'
  | (string & Record<never, never>)

/** Problem details (RFC 9457), the body of kvist's error responses. */
export interface Problem {
  readonly type?: string
  readonly title?: string
  readonly status?: number
  /** Stable, for programs. */
  readonly code: ErrorCode
  /** For people. */
  readonly detail: string
  /** The id of the request in the server's log, when the fault is the server's. */
  readonly request_id?: string
  /** Other members: a limit that was exceeded, the current revision. */
  readonly [member: string]: unknown
}

export class KvistError extends Error {
  /** Stable, for programs. */
  readonly code: ErrorCode
  /** The status of the response; null if there was none. */
  readonly status: number | null = null
  /** The problem document of the response; null if it had none. */
  readonly problem: Problem | null = null

  constructor(code: ErrorCode, detail: string, options?: ErrorOptions) {
    super(detail, options)
    this.name = new.target.name
    this.code = code
  }

  /** For people, in one line; the same as `message`. */
  get detail(): string {
    return this.message
  }
}

/** The server responded with an error. `code` is empty if the response is not kvist's but, for example, a proxy's. */
export class KvistHttpError extends KvistError {
  override readonly status: number
  override readonly problem: Problem | null
  /** The pause that the server requests with `Retry-After`. */
  readonly retryAfterSeconds: number | null

  constructor(status: number, detail: string, problem: Problem | null, retryAfterSeconds: number | null) {
    super(problem?.code ?? '', detail)
    this.status = status
    this.problem = problem
    this.retryAfterSeconds = retryAfterSeconds
  }
}

/** There is no such member. `get`, `delete` and similar methods resolve with null or false instead. */
export class KvistNotFoundError extends KvistHttpError {}

/** A condition did not hold; nothing was written. */
export class KvistPreconditionError extends KvistHttpError {
  /** The present revision of the member; null if there is none. */
  get revision(): number | null {
    return typeof this.problem?.revision === 'number' ? this.problem.revision : null
  }

  /** The member whose check failed in a batch. */
  get member(): { readonly collection: string; readonly key: string } | null {
    return memberIn(this.problem)
  }
}

/** One way in which a value breaks the schema of its collection. */
export interface Violation {
  /** The JSON pointer to the part of the value. */
  readonly pointer: string
  /** For people. */
  readonly reason: string
  /** The keyword of the schema; `json` for a value that is not JSON, `limit` for one that was not checked to its end. */
  readonly keyword: string
}

/** The value breaks the schema of its collection; nothing was written. */
export class KvistSchemaError extends KvistHttpError {
  /** The first 20. */
  get violations(): readonly Violation[] {
    const given: unknown = this.problem?.violations
    return Array.isArray(given) ? given.filter(isViolation) : []
  }

  /** The member whose value it is. */
  get member(): { readonly collection: string; readonly key: string } | null {
    return memberIn(this.problem)
  }

  /** The index of the operation in a batch. */
  get operation(): number | null {
    return typeof this.problem?.operation === 'number' ? this.problem.operation : null
  }
}

function isViolation(given: unknown): given is Violation {
  return (
    typeof given === 'object' &&
    given !== null &&
    ['pointer', 'reason', 'keyword'].every((name) => typeof Reflect.get(given, name) === 'string')
  )
}

function memberIn(problem: Problem | null): { readonly collection: string; readonly key: string } | null {
  const collection = problem?.collection
  const key = problem?.key
  return typeof collection === 'string' && typeof key === 'string' ? { collection, key } : null
}

/** Another member has the values that an index of the collection keeps unique; nothing was written. */
export class KvistNotUniqueError extends KvistHttpError {
  /** The name of the index. */
  get index(): string {
    return String(this.problem?.index ?? '')
  }

  /** The other member; null if the client may not read it, or it is of the same batch. */
  get other(): { readonly collection: string; readonly key: string } | null {
    const other = this.problem?.other
    if (typeof other !== 'object' || other === null) return null
    const { collection, key }: { collection?: unknown; key?: unknown } = other
    return typeof collection === 'string' && typeof key === 'string' ? { collection, key } : null
  }
}

/** The feed no longer reaches back to the resume point. */
export class KvistCompactedError extends KvistHttpError {
  /** The oldest resume point that is still served. */
  get oldest(): string {
    return String(this.problem?.oldest ?? '0')
  }
}

/** There was no response, or it broke off. A write may have been done or not. */
export class KvistUnreachableError extends KvistError {
  readonly url: string

  constructor(url: string, cause: unknown) {
    super('unreachable', `cannot reach ${url}`, { cause })
    this.url = url
  }
}

/** There was no response in time. A write may have been done or not. */
export class KvistTimeoutError extends KvistError {
  readonly url: string
  readonly timeoutMs: number

  constructor(url: string, timeoutMs: number) {
    super('timeout', `${url} did not respond within ${timeoutMs} ms`)
    this.url = url
    this.timeoutMs = timeoutMs
  }
}

/** The arguments are wrong: an unknown option, a value that JSON cannot represent, an invalid key. Nothing was sent. */
export class KvistInputError extends KvistError {
  constructor(detail: string, options?: ErrorOptions) {
    super('invalid_input', detail, options)
  }
}

/** The collection's `parse` rejected a value; the error that it threw is the cause. */
export class KvistValueError extends KvistError {
  readonly key: string

  constructor(key: string, cause: unknown) {
    const why = cause instanceof Error ? cause.message : String(cause)
    super('invalid_value', `the value of ${JSON.stringify(key)} is not as it should be: ${why}`, { cause })
    this.key = key
  }
}

/** The error classes of particular codes of the server. */
const byCode: Readonly<Record<string, typeof KvistHttpError>> = {
  not_found: KvistNotFoundError,
  precondition_failed: KvistPreconditionError,
  schema_violation: KvistSchemaError,
  not_unique: KvistNotUniqueError,
  compacted: KvistCompactedError,
}

/** Facts about the request that an error mentions and the response does not repeat. */
interface Sent {
  readonly url: string
  readonly hasToken: boolean
}

/** Reads the body of an error response and returns its error. */
export async function errorOf(response: Response, sent: Sent): Promise<KvistHttpError> {
  const problem = parseProblem(await response.text())
  const retryAfter = /^[0-9]{1,6}$/.exec(response.headers.get('retry-after') ?? '')
  const HttpError = byCode[problem?.code ?? ''] ?? KvistHttpError
  return new HttpError(
    response.status,
    detailOf(response, problem, sent),
    problem,
    retryAfter === null ? null : Number(retryAfter[0]),
  )
}

function detailOf(
  { status, statusText }: Response,
  problem: Problem | null,
  { url, hasToken }: Sent,
): string {
  if (problem?.code === 'unauthorized' && !hasToken) return 'the server requires a token, and none was sent'
  if (problem !== null) return problem.detail || problem.code
  const line = `${status} ${statusText}`.trimEnd()
  // A 5xx may come from a proxy in front of a failing kvist, so it does not mean that the URL is wrong.
  return status < 500 ? `what responds at ${url} is not kvist: ${line}` : `the server responded with ${line}`
}

function parseProblem(text: string): Problem | null {
  try {
    const found: unknown = JSON.parse(text)
    if (typeof found !== 'object' || found === null) return null
    const { code, detail, ...others }: { code?: unknown; detail?: unknown } = found
    if (typeof code !== 'string') return null
    return { ...others, code, detail: typeof detail === 'string' ? detail : '' }
  } catch {
    return null
  }
}
