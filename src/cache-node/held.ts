import { smallBytes } from '../core/limits.ts'
import { passedHeaders } from '../http/forward.ts'
import type { Connection } from '../http/wire/client-connection.ts'
import type { HttpResponse } from '../http/wire/response.ts'
import type { Share } from '../net/budget.ts'
import type { Credential } from './credentials.ts'
import type { FeedSession } from './origins.ts'

/** A response with a member, or that there is none, which is served to those to whom the origin has given it. */
export class Held {
  readonly status: number
  readonly body: Uint8Array
  /** Of a missing member `"0"`, which is what the origin calls that state. */
  readonly etag: string
  /** The feed that was followed when it was read: that of the same store. */
  readonly session: FeedSession
  /** The clients to whom the origin has shown this state. */
  readonly readers = new Set<Credential>()
  /** Estimated memory. */
  readonly bytes: number
  headerBlock: string
  private made: { readonly lineKey: string; readonly response: HttpResponse } | null = null
  /** Null: it never expires. */
  expiresAtMs: number | null
  /** When the request was sent in whose response the origin showed this state last. */
  validatedAtMs: number
  private sending: {
    readonly share: Share
    responses: number
    readonly granted: Promise<void> | undefined
  } | null = null

  constructor(response: Storable, body: Uint8Array, session: FeedSession, sentAtMs: number) {
    this.status = response.status
    this.etag = response.etag
    this.headerBlock = response.headerBlock
    this.expiresAtMs = response.expiresAtMs
    this.body = body
    this.session = session
    this.validatedAtMs = sentAtMs
    this.bytes = body.length + response.headerBlock.length + overheadBytes
  }

  /** The revision of the member; 0 if it is missing. */
  get revision(): number {
    return Number(this.etag.slice(1, -1))
  }

  /** Returns the response with these lines after the others. Most have the same lines as the one before. */
  response(lineKey: string, lines: () => string): HttpResponse {
    if (this.made?.lineKey !== lineKey) {
      const { status, headerBlock, body } = this
      this.made = { lineKey, response: { status, headerBlock: headerBlock + lines(), body } }
    }
    return this.made.response
  }

  /** Whether the origin has shown this state to the client. */
  wasShownTo(credential: Credential | undefined): credential is Credential {
    return credential !== undefined && this.readers.has(credential)
  }

  /** Notes that the origin has shown this state to a client, with these headers. */
  wasValidated(headers: Headers, credential: Credential, sentAtMs: number): void {
    const again = memberHeadersOf(headers, this.status)
    // Those of a 304 for a missing member are not those of its 404.
    if (this.status === 200) this.headerBlock = again.headerBlock
    this.made = null
    this.expiresAtMs = again.expiresAtMs
    this.validatedAtMs = Math.max(this.validatedAtMs, sentAtMs)
    this.addReader(credential)
  }

  addReader(credential: Credential): void {
    if (this.readers.size >= maxReaders) this.readers.clear()
    this.readers.add(credential)
  }

  /**
   * Accounts for a large body that is sent to a client, once for all clients, until the last of them has it. Returns a
   * promise if it has to wait for memory.
   */
  account(connection: Connection): Promise<void> | undefined {
    const { length } = this.body
    if (length <= smallBytes) return undefined
    const share = this.sending?.share ?? connection.memory.values.share()
    const sending = this.sending ?? { share, responses: 0, granted: share.grow(length) }
    this.sending = sending
    sending.responses++
    connection.hold({
      bytes: length,
      release: () => {
        if (--sending.responses > 0) return
        share.cancel(new DOMException('the client has gone', 'AbortError'))
        share.release()
        if (this.sending === sending) this.sending = null
      },
    })
    return sending.granted
  }
}

/** Objects, and a few readers. */
const overheadBytes = 700
/** Further clients ask the origin again. */
const maxReaders = 64

/** What a response would be held as. */
export interface Storable {
  readonly status: number
  readonly etag: string
  readonly headerBlock: string
  readonly expiresAtMs: number | null
}

/** Header fields that belong to one response. */
const ofOneResponse: ReadonlySet<string> = new Set([
  'age',
  'cache-status',
  'ratelimit',
  'ratelimit-policy',
  'set-cookie',
  'x-request-id',
])

/** Header fields by which responses may vary: the cache passes on requests for events, and asks for no coding. */
const knownVary: ReadonlySet<string> = new Set(['accept', 'accept-encoding', 'origin'])

const tagForm = /^"(?:0|[1-9]\d{0,15})"$/

/** Returns what may be held of a response to a GET of a member; null if it must not be. */
export function storable({ status, headers }: Response): Storable | null {
  if (status !== 200 && status !== 404) return null
  const etag = status === 404 ? '"0"' : (headers.get('etag') ?? '')
  if (!tagForm.test(etag) || headers.has('content-encoding')) return null
  if (/\b(?:no-store|private)\b/i.test(headers.get('cache-control') ?? '')) return null
  const vary = (headers.get('vary') ?? '').toLowerCase().split(',')
  if (!vary.every((name) => name.trim() === '' || knownVary.has(name.trim()))) return null
  const described = headers.get('content-type') ?? ''
  if (status === 404 && !described.startsWith('application/problem+json')) return null
  return { status, etag, ...memberHeadersOf(headers, status) }
}

function memberHeadersOf(headers: Headers, status: number): Pick<Storable, 'headerBlock' | 'expiresAtMs'> {
  const expires = status === 200 ? headers.get('kvist-expires-at') : null
  return {
    headerBlock: passedHeaders(headers, (name) => ofOneResponse.has(name)),
    // An expiry that cannot be read is taken to be over: the origin is always asked.
    expiresAtMs: expires === null ? null : Date.parse(expires) || 0,
  }
}
