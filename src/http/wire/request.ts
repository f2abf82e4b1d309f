import { type BodySource, RequestBody } from './body.ts'
import type { Head, HeaderBlock } from './head.ts'

/** Shared by all requests without a body. */
const noBody = new RequestBody(0, { pull() {}, taken() {} })

const none: readonly string[] = []

/** One parsed request. */
export class HttpRequest {
  readonly method: string
  /** Without the query, not decoded. */
  readonly path: string
  /** What follows the first `?`, not decoded; null without one. A ticket is taken out of it (server.ts). */
  query: string | null
  readonly isHttp10: boolean
  /** The client asks to close the connection after this response. */
  readonly closes: boolean
  /** The client waits for `100 Continue` before it sends the body. */
  readonly expectsContinue: boolean
  readonly headBytes: number
  /** See `HeaderBlock.present`. */
  readonly present: number
  readonly body: RequestBody
  readonly headers: HeaderBlock
  private names = none
  private values = none

  constructor(head: Head, source: BodySource) {
    const { bodyBytes, closes, expectsContinue, present } = head.headers
    this.method = head.method
    this.path = head.path
    this.query = head.query
    this.isHttp10 = head.isHttp10
    this.closes = closes
    this.expectsContinue = expectsContinue
    this.headBytes = head.headBytes
    this.present = present
    this.headers = head.headers
    this.body = bodyBytes === 0 ? noBody : new RequestBody(bodyBytes, source)
  }

  /** Sets the values of the route's parameters, in the order of their names, not decoded. */
  setParameters(names: readonly string[], values: readonly string[]): void {
    this.names = names
    this.values = values
  }

  /** Returns a parameter of the route, not decoded; `*` is the rest of the path. */
  parameter(name: string): string | undefined {
    const { names } = this
    for (let i = 0; i < names.length; i++) if (names[i] === name) return this.values[i]
    return undefined
  }

  /**
   * Returns the value of a header, named in lower case; null when absent. Values of several lines are joined with
   * commas.
   */
  header(name: string): string | null {
    const { fields } = this.headers
    let value: string | null = null
    for (let i = 0; i < fields.length; i += 2) {
      if (fields[i] === name) value = value === null ? fields[i + 1]! : `${value}, ${fields[i + 1]}`
    }
    return value
  }
}
