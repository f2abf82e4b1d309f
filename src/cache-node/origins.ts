import type { HeaderPairs } from '../http/forward.ts'

/** A server that a cache node is a cache of. */
export interface OriginServer {
  /** Without a slash at the end. */
  readonly url: string
  /** Sends a request; rejects when no response comes. The body of the response is as it was sent, also if it has a coding. */
  send(target: string, request: OriginRequest): Promise<Response>
}

/** The feed of one store, from some cursor on without a gap. What was read in another session may have changed unnoticed. */
export interface FeedSession {
  readonly origin: OriginServer
  /** The id of the store's node. */
  readonly node: string
}

export interface OriginRequest {
  readonly method: string
  readonly headers: HeaderPairs
  readonly body?: ReadableStream<Uint8Array> | null
  readonly signal: AbortSignal
}

/** Options of the runtime's `fetch` that its types lack. */
interface FetchInit extends RequestInit {
  readonly decompress: boolean
  readonly tls?: { readonly ca: string }
  readonly duplex?: 'half'
}

/** Returns an origin over HTTP. `ca` are the authorities of its certificate, if they are not the system's. */
export function httpOrigin(url: string, ca: string | null): OriginServer {
  const tls = ca === null ? {} : { tls: { ca } }
  return {
    url,
    send(target, { method, headers, body = null, signal }) {
      const init: FetchInit = {
        method,
        headers,
        signal,
        redirect: 'manual',
        decompress: false,
        ...tls,
        ...(body === null ? {} : { body, duplex: 'half' }),
      }
      return fetch(url + target, init)
    },
  }
}

/** Codes of errors after which nothing was sent. */
const unsentCodes: ReadonlySet<unknown> = new Set([
  'ConnectionRefused',
  'ECONNREFUSED',
  'FailedToOpenSocket',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'DNSException',
])

/** Whether a request cannot have arrived, because no connection was made. */
export function wasNeverSent(error: unknown): boolean {
  return error instanceof Error && 'code' in error && unsentCodes.has(error.code)
}

/** Returns why a request failed, in words for an operator. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return 'code' in error && wasNeverSent(error) ? `no connection: ${error.code}` : error.message
}
