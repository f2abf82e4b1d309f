import { type BodySource, RequestBody } from './body.ts'
import type { Head } from './head.ts'

/** All requests without a body share one. */
const noBody = new RequestBody(0, { wanted() {}, taken() {} })

const noParameters: Readonly<Record<string, string>> = {}

/** One request, as it was sent. */
export class HttpRequest {
  readonly method: string
  /** Without the query, and not decoded. */
  readonly path: string
  /** What follows the first `?`, not decoded; null without one. */
  readonly query: string | null
  readonly isHttp10: boolean
  /** The client wants no more than the answer to this one. */
  readonly closes: boolean
  readonly body: RequestBody
  /** What the pattern of its route stands for in the path, by name, not decoded; `*` for the rest of the path. */
  params = noParameters
  private readonly fields: readonly string[]

  constructor(head: Head, source: BodySource) {
    const { bodyBytes, closes, fields } = head.headers
    this.method = head.method
    this.path = head.path
    this.query = head.query
    this.isHttp10 = head.isHttp10
    this.closes = closes
    this.fields = fields
    this.body = bodyBytes === 0 ? noBody : new RequestBody(bodyBytes, source)
  }

  /** The value of a header, its name in lower case; of a list that is sent in several lines, the whole list. */
  header(name: string): string | null {
    const { fields } = this
    let value: string | null = null
    for (let i = 0; i < fields.length; i += 2) {
      if (fields[i] === name) value = value === null ? fields[i + 1]! : `${value}, ${fields[i + 1]}`
    }
    return value
  }
}
