import type { Encodable } from '../../net/output.ts'

/** The response that a handler returns; connection.ts writes it. */
export interface HttpResponse {
  readonly status: number
  /** Header lines, each with its line end, without Date and the headers that frame the body. */
  readonly headerBlock: string
  readonly body: ResponseBody
  /** Length of a text body in UTF-8, when known: computing it copies a text that was concatenated. */
  readonly bodyBytes?: number
}

/** A text is sent as UTF-8. */
export type ResponseBody = string | Uint8Array | EncodedBody | StreamedBody | null

/** A short body that is written straight into the output. */
export interface EncodedBody extends Encodable {}

/** A body that is produced while it is sent, as fast as the client reads it. */
export interface StreamedBody {
  /** Called when there is room: at the beginning, and when the client has taken the output. */
  pull(to: BodyWriter): void
  /** Called when the rest is not needed: the client is gone, or the method was HEAD. */
  cancel(): void
}

export interface BodyWriter {
  /** Sends a part, at any time. Returns false when there is no room left: the next part should wait for `pull`. */
  write(part: string | Uint8Array): boolean
  /** Ends the body. */
  end(): void
  /**
   * Breaks the response off because the rest cannot be produced. The client sees that it is incomplete; the error is
   * logged.
   */
  abort(error: unknown): void
}
