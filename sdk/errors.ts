/**
 * What the client throws. Everything is a KvistError, apart from two: a call that its own `signal` aborted rejects with
 * the signal's reason, as `fetch` does, and what a caller's `parse` throws comes wrapped in a KvistValueError.
 */

/** Problem details (RFC 9457), as kvist answers what it refuses. */
export interface Problem {
  readonly type?: string
  readonly title?: string
  readonly status?: number
  /** Stable, for programs: `not_found`, `precondition_failed`, … */
  readonly code: string
  /** For people. */
  readonly detail: string
  /** Under which the server's log has it, when the fault is its own. */
  readonly request_id?: string
  /** What else there is to say: a limit that was passed, the current revision. */
  readonly [member: string]: unknown
}

export class KvistError extends Error {
  /** Stable, for programs: the server's, or `unreachable`, `timeout`, `invalid_input`, `invalid_value`. */
  readonly code: string
  /** Of the answer; null where there was none. */
  readonly status: number | null = null
  /** As the server told it; null where it was not kvist that answered. */
  readonly problem: Problem | null = null

  constructor(code: string, detail: string, options?: ErrorOptions) {
    super(detail, options)
    this.name = new.target.name
    this.code = code
  }

  /** For people, in one line; the same as `message`. */
  get detail(): string {
    return this.message
  }
}

/** The server refused. `code` is empty when the answer was not kvist's, but that of a proxy, say. */
export class KvistHttpError extends KvistError {
  override readonly status: number
  override readonly problem: Problem | null
  /** From `Retry-After`: the pause that the server asks for. */
  readonly retryAfterSeconds: number | null

  constructor(status: number, detail: string, problem: Problem | null, retryAfterSeconds: number | null) {
    super(problem?.code ?? '', detail)
    this.status = status
    this.problem = problem
    this.retryAfterSeconds = retryAfterSeconds
  }
}

/** There is no such member. `get`, `delete` and their like answer null or false instead. */
export class KvistNotFoundError extends KvistHttpError {}

/** A condition did not hold; nothing was written. */
export class KvistPreconditionError extends KvistHttpError {
  /** The revision that the member has; null where there is none. */
  get revision(): number | null {
    return typeof this.problem?.revision === 'number' ? this.problem.revision : null
  }

  /** The member whose check failed, of a batch. */
  get member(): { readonly collection: string; readonly key: string } | null {
    const collection = this.problem?.collection
    const key = this.problem?.key
    return typeof collection === 'string' && typeof key === 'string' ? { collection, key } : null
  }
}

/** The feed does not reach back to the point that was asked for any more. */
export class KvistCompactedError extends KvistHttpError {
  /** The oldest point that is still served. */
  get oldest(): string {
    return String(this.problem?.oldest ?? '0')
  }
}

/** There was no answer, or it broke off. Of a write nobody knows whether it was done. */
export class KvistUnreachableError extends KvistError {
  readonly url: string

  constructor(url: string, cause: unknown) {
    super('unreachable', `cannot reach ${url}`, { cause })
    this.url = url
  }
}

/** There was no answer in time. Of a write nobody knows whether it was done. */
export class KvistTimeoutError extends KvistError {
  readonly url: string
  readonly timeoutMs: number

  constructor(url: string, timeoutMs: number) {
    super('timeout', `${url} did not answer within ${timeoutMs} ms`)
    this.url = url
    this.timeoutMs = timeoutMs
  }
}

/** What was asked for cannot be sent: a name that no URL can say, a value that is no JSON, something that is no URL. */
export class KvistInputError extends KvistError {
  constructor(detail: string) {
    super('invalid_input', detail)
  }
}

/** The collection's `parse` did not take a value; what it threw is the cause. */
export class KvistValueError extends KvistError {
  readonly key: string

  constructor(key: string, cause: unknown) {
    const why = cause instanceof Error ? cause.message : String(cause)
    super('invalid_value', `the value of ${JSON.stringify(key)} is not as it should be: ${why}`, { cause })
    this.key = key
  }
}

/** Errors of their own, by the code that the server gives. */
const byCode: Readonly<Record<string, typeof KvistHttpError>> = {
  not_found: KvistNotFoundError,
  precondition_failed: KvistPreconditionError,
  compacted: KvistCompactedError,
}

/** What an answer that is no success means. Reads its body. */
export async function refusal(response: Response): Promise<KvistHttpError> {
  const problem = parseProblem(await response.text())
  const retryAfter = /^[0-9]{1,6}$/.exec(response.headers.get('retry-after') ?? '')
  const Refusal = byCode[problem?.code ?? ''] ?? KvistHttpError
  return new Refusal(
    response.status,
    problem?.detail || `the server answered ${response.status} ${response.statusText}`.trimEnd(),
    problem,
    retryAfter === null ? null : Number(retryAfter[0]),
  )
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
