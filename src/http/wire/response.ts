/** What a handler returns: data, which the connection writes (connection.ts). */
export interface HttpResponse {
  readonly status: number
  /** Each header with its line end. Date and what frames the body are not among them. */
  readonly headerBlock: string
  readonly body: ResponseBody
  /** Of a text, as UTF-8, where that is known: to find out costs a copy of a text that was put together. */
  readonly bodyBytes?: number
}

/** Text goes out as UTF-8. */
export type ResponseBody = string | Uint8Array | StreamedBody | null

/** A body that is made while it is sent, as fast as the client takes it. */
export interface StreamedBody {
  /** There is room: at the beginning, and whenever the client has taken what was sent. */
  pull(to: BodyWriter): void
  /** Nobody will take any more. */
  cancel(): void
}

export interface BodyWriter {
  /** Sends a part, at any time. Returns false when there is no room left: the rest should wait for the next `pull`. */
  write(part: string | Uint8Array): boolean
  /** That was all. */
  end(): void
  /** Cuts the response off: the rest cannot be had. The client sees that it is incomplete, and the log says why. */
  abort(error: unknown): void
}
