/** What can be wrong with a patch, a pointer, or a value that they are for; named as core/errors.ts names it. */
export type JsonErrorCode =
  | 'invalid_request'
  | 'invalid_parameter'
  | 'unprocessable'
  | 'conflict'
  | 'too_large'

export class JsonError extends Error {
  readonly code: JsonErrorCode
  /** What was passed: a limit, the index of an operation. */
  readonly extra: Readonly<Record<string, unknown>>

  constructor(code: JsonErrorCode, detail: string, extra: Readonly<Record<string, unknown>> = {}) {
    super(detail)
    this.name = 'JsonError'
    this.code = code
    this.extra = extra
  }
}
