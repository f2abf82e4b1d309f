/**
 * The error codes of the domain. Each protocol maps them to its own with an exhaustive record, so that a new code does
 * not compile until every protocol has a response for it.
 */
export type ErrorCode =
  | 'invalid_request' // malformed in a way no other code names
  | 'invalid_json'
  | 'invalid_key'
  | 'key_too_long' // of a key in a URL; in a body it is an invalid_key
  | 'invalid_collection'
  | 'invalid_parameter'
  | 'invalid_cursor'
  | 'invalid_where' // a filter that is not one; `position` and `reason` in the problem
  | 'unauthorized'
  | 'forbidden' // the client's token does not grant it
  | 'forbidden_origin' // sent by a web page that this server does not serve
  | 'misdirected' // sent to a host name that is not this server's, or on the condition of a revision to a follower
  | 'rate_limited' // too many requests of a token or an address; `retry_after_seconds` in the problem
  | 'not_found'
  | 'compacted' // the feed does not reach back so far any more; `oldest` in the problem is what it still serves
  | 'conflict' // gave up after too many concurrent changes
  | 'precondition_failed'
  | 'range_not_satisfiable' // a range of bytes that the value does not have
  | 'too_large'
  | 'unsupported_media_type'
  | 'unprocessable' // understood, but cannot be done to this value
  | 'invalid_schema' // a JSON Schema that values cannot be checked against; `pointer` in the problem says where
  | 'schema_violation' // the value breaks the schema of its collection; `violations` in the problem say how
  | 'no_index' // too many members to sort; `index` in the problem is what would order them
  | 'not_unique' // another member has the values that are unique by an index of the collection
  | 'quota_exceeded' // the collection, or a value in it, would grow past a limit in its settings
  | 'busy' // writers wait for room and it did not come in time
  | 'storage_full'
  | 'damaged' // what is stored is not what was written
  | 'storage_failed' // the disk or the engine behind failed
  | 'unavailable' // the server that holds the member cannot be reached; nothing was done
  | 'lookup_failed' // this node does not hold the member, and not all other nodes said whether they do
  | 'not_leader' // this node follows another, whose URL is `leader` in the problem: writes go there
  | 'read_only' // this node takes no writes, and knows no node that does
  | 'not_implemented' // not with this engine, or without an archive
  | 'loop_detected' // the request came back to a cache that had passed it on
  | 'outcome_unknown' // the commit may have been done, once: check before repeating it
  | 'closing'

/** Codes of errors of the server or its storage: they are reported to the operator. */
export const serverFaults: readonly ErrorCode[] = [
  'damaged',
  'storage_failed',
  'storage_full',
  'busy',
  'unavailable',
  'outcome_unknown',
]

/** An error that a client may see: the detail is written for people and never reveals internals. */
export class KvistError extends Error {
  readonly code: ErrorCode
  /** Further members of the problem document, such as an exceeded limit or a current revision. Names are snake_case. */
  readonly extra: Readonly<Record<string, unknown>>

  constructor(
    code: ErrorCode,
    detail: string,
    extra: Readonly<Record<string, unknown>> = {},
    cause?: unknown,
  ) {
    super(detail, cause === undefined ? undefined : { cause })
    this.name = 'KvistError'
    this.code = code
    this.extra = extra
  }
}

/**
 * Runs `work` and returns its result. A KvistError is thrown again with `where` before its message and with `extra`
 * added.
 */
export function failingAt<Result>(
  where: string,
  extra: Readonly<Record<string, unknown>>,
  work: () => Result,
): Result {
  try {
    return work()
  } catch (error) {
    if (!(error instanceof KvistError)) throw error
    throw new KvistError(error.code, `${where}: ${error.message}`, { ...error.extra, ...extra }, error.cause)
  }
}
