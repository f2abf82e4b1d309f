/** The errors of patches, pointers and the values that they apply to; the codes are those of core/errors.ts. */
export type JsonErrorCode =
  | 'invalid_request'
  | 'invalid_parameter'
  | 'unprocessable'
  | 'conflict'
  | 'too_large'

export class JsonError extends Error {
  readonly code: JsonErrorCode
  /** Further facts for the client, such as an exceeded limit or the index of an operation. */
  readonly extra: Readonly<Record<string, unknown>>

  constructor(code: JsonErrorCode, detail: string, extra: Readonly<Record<string, unknown>> = {}) {
    super(detail)
    this.name = 'JsonError'
    this.code = code
    this.extra = extra
  }
}
