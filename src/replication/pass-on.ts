import { fetchWithTls, type TlsOptions } from '../../sdk/tls.ts'
import { KvistError } from '../core/errors.ts'
import { maxValueBytes, smallBytes } from '../core/limits.ts'

/** Passes requests of a dialect on to other servers, and returns their responses. */

export interface PassedOn {
  readonly method: string
  /** Path and query, as they are sent. */
  readonly target: string
  readonly body: { readonly type: string; readonly bytes: Uint8Array } | null
  readonly timeoutMs: number
  /** Waits until there is memory for a large response. */
  readonly reserve: (bytes: number) => Promise<void> | undefined
}

export interface ResponseOfServer {
  readonly status: number
  readonly body: Uint8Array
}

/**
 * Sends a request to a server. Rejects with `unavailable` if the server has not got it, and with `outcome_unknown` if the
 * response broke off or did not come in time.
 */
export type PassOn = (url: string, request: PassedOn) => Promise<ResponseOfServer>

export interface PassOnOptions {
  readonly token?: string | undefined
  readonly tls?: TlsOptions | undefined
}

/** What `fetch` says when there is no connection. */
const notConnected: ReadonlySet<unknown> = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EHOSTUNREACH',
  'ENETUNREACH',
])

export function passOn({ token, tls }: PassOnOptions): PassOn {
  const send = tls === undefined ? fetch : fetchWithTls(tls)
  const authorization = token === undefined ? {} : { Authorization: `Bearer ${token}` }
  return async (url, { method, target, body, timeoutMs, reserve }) => {
    const signal = AbortSignal.timeout(timeoutMs)
    const headers = { ...authorization, ...(body === null ? {} : { 'Content-Type': body.type }) }
    const sent = body === null ? {} : { body: body.bytes as Uint8Array<ArrayBuffer> }
    try {
      const response = await send(url + target, { method, headers, signal, redirect: 'manual', ...sent })
      return { status: response.status, body: await bodyOf(response, reserve) }
    } catch (error) {
      if (error instanceof KvistError) throw error
      throw failure(url, error)
    }
  }
}

function failure(url: string, error: unknown): KvistError {
  const code = error instanceof Error && 'code' in error ? error.code : null
  if (notConnected.has(code)) return new KvistError('unavailable', `${url} cannot be reached`, {}, error)
  const isLate = error instanceof Error && error.name === 'TimeoutError'
  const detail = isLate ? `${url} did not respond in time` : `${url} broke off its response`
  return new KvistError('outcome_unknown', detail, {}, error)
}

/** Returns the body, of as many bytes as a value may have. */
async function bodyOf(response: Response, reserve: PassedOn['reserve']): Promise<Uint8Array> {
  const parts: Uint8Array[] = []
  let bytes = 0
  for await (const part of response.body ?? []) {
    if (bytes <= smallBytes && bytes + part.length > smallBytes) await reserve(maxValueBytes)
    bytes += part.length
    if (bytes > maxValueBytes) throw new Error('the response is larger than a value')
    parts.push(part)
  }
  return Buffer.concat(parts)
}
