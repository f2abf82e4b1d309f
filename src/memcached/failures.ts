import { type ErrorCode, KvistError, serverFaults } from '../core/errors.ts'
import { responses } from './error-lines.ts'

/**
 * The error lines for errors of the store. Clients only parse the first word; where memcached has a line for the case
 * it is used.
 */
const lines: Record<ErrorCode, string> = {
  invalid_request: 'CLIENT_ERROR bad request',
  invalid_json: 'CLIENT_ERROR bad request',
  invalid_key: 'CLIENT_ERROR bad command line format',
  key_too_long: 'CLIENT_ERROR bad command line format',
  invalid_collection: 'SERVER_ERROR bad collection',
  invalid_parameter: 'CLIENT_ERROR bad request',
  invalid_cursor: 'CLIENT_ERROR bad request',
  invalid_where: 'CLIENT_ERROR bad request',
  unauthorized: 'CLIENT_ERROR unauthenticated',
  forbidden: 'CLIENT_ERROR not permitted',
  forbidden_origin: 'CLIENT_ERROR bad request',
  misdirected: 'CLIENT_ERROR bad request',
  rate_limited: responses.rateLimited,
  not_found: 'SERVER_ERROR not found',
  compacted: 'SERVER_ERROR the feed does not reach back so far',
  conflict: 'SERVER_ERROR changed too often',
  precondition_failed: 'SERVER_ERROR changed meanwhile',
  range_not_satisfiable: 'CLIENT_ERROR bad request',
  too_large: 'SERVER_ERROR object too large for cache',
  unsupported_media_type: 'CLIENT_ERROR bad request',
  unprocessable: 'CLIENT_ERROR bad request',
  invalid_schema: 'SERVER_ERROR the schema of the collection cannot be used',
  schema_violation: 'CLIENT_ERROR the value breaks the schema of the collection',
  no_index: 'SERVER_ERROR no index',
  not_unique: 'SERVER_ERROR not unique',
  quota_exceeded: 'SERVER_ERROR out of memory storing object',
  busy: 'SERVER_ERROR busy',
  storage_full: 'SERVER_ERROR out of memory storing object',
  damaged: 'SERVER_ERROR damaged',
  storage_failed: 'SERVER_ERROR storage failed',
  unavailable: 'SERVER_ERROR unavailable',
  lookup_failed: 'SERVER_ERROR not all servers answered',
  not_leader: 'SERVER_ERROR another server takes writes',
  read_only: 'SERVER_ERROR read only',
  not_implemented: 'SERVER_ERROR no archive',
  loop_detected: 'SERVER_ERROR the request went in a circle',
  outcome_unknown: 'SERVER_ERROR outcome unknown',
  closing: 'SERVER_ERROR stopping',
}

/** Thrown to end a command early with this response; not a failure of the server. */
export class CommandError extends Error {
  readonly line: string

  constructor(line: string) {
    super(line)
    this.line = line
  }
}

export function failureLine(error: unknown): string {
  if (error instanceof CommandError) return error.line
  if (!(error instanceof KvistError)) return 'SERVER_ERROR internal error'
  if (error.code === 'not_leader') return `${lines.not_leader}: ${String(error.extra.leader)}`
  return error.extra.quota === 'max_value_bytes' ? lines.too_large : lines[error.code]
}

/** Whether an error is the server's fault and must be reported. */
export function isOwnFault(error: unknown): boolean {
  if (error instanceof CommandError) return false
  return !(error instanceof KvistError) || serverFaults.includes(error.code)
}
