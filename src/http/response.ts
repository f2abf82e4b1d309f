import { nextTick } from '../core/next-tick.ts'
import type { BodyWriter, HttpResponse, ResponseBody, StreamedBody } from './wire/response.ts'

export type Fields = Readonly<Record<string, string>>

export function responseOf(status: number, fields: Fields = {}, body: ResponseBody = null): HttpResponse {
  const caching = fields['Cache-Control'] === undefined ? noCacheHeader : ''
  return { status, headerBlock: inertHeaders + caching + headerBlockOf(fields), body }
}

/** Returns a response with a page that has its own content security policy. */
export function pageResponse(
  fields: Fields & { 'Content-Security-Policy': string },
  body: ResponseBody,
): HttpResponse {
  return { status: 200, headerBlock: headerBlockOf(fields), body }
}

/**
 * Formats header lines. Throws when a value has a line break, which is a bug: values of clients are validated before.
 */
export function headerBlockOf(fields: Fields): string {
  let block = ''
  for (const [name, value] of Object.entries(fields)) {
    if (/[\r\n\0]/.test(value)) throw new Error(`the header ${name} has a line break`)
    block += `${name}: ${value}\r\n`
  }
  return block
}

/**
 * Headers that keep stored values from acting as a page or script of this server's origin, whatever their content type.
 * Every response except the server's own pages has them.
 */
export const inertHeaders = headerBlockOf({
  'X-Content-Type-Options': 'nosniff',
  'Content-Security-Policy': "sandbox; default-src 'none'",
  'Cross-Origin-Resource-Policy': 'same-origin',
})

/** Makes browsers and proxies revalidate; otherwise they may show members that were changed or deleted. */
export const noCacheHeader = headerBlockOf({ 'Cache-Control': 'no-cache' })

const jsonHeaders = `${inertHeaders}${noCacheHeader}Content-Type: application/json\r\n`

/** Returns a JSON response with optional additional headers. */
export function jsonResponse(
  body: string | Uint8Array | StreamedBody,
  status = 200,
  fields?: Fields,
): HttpResponse {
  return {
    status,
    headerBlock: fields === undefined ? jsonHeaders : jsonHeaders + headerBlockOf(fields),
    body,
  }
}

/** As `jsonResponse`, with a line break at the end, for terminals. */
export function jsonTextLine(text: string, status = 200, fields?: Fields): HttpResponse {
  return jsonResponse(`${text}\n`, status, fields)
}

/**
 * Returns a body of parts that are pulled one after another until `next` returns null. `stopped` is called when the
 * rest is not needed.
 */
export function streamed(next: () => Promise<string | Uint8Array | null>, stopped: () => void): StreamedBody {
  let isBegun = false
  let hasEnded = false
  let onRoom = () => {}

  async function send(to: BodyWriter): Promise<void> {
    for (;;) {
      const part = await next()
      if (hasEnded) return
      if (part === null) return to.end()
      if (!to.write(part)) await new Promise<void>((resolve) => (onRoom = resolve))
      // Yields to other requests: a client that reads as fast as parts are made must not starve them.
      else await nextTick()
      if (hasEnded) return
    }
  }

  return {
    pull(to) {
      if (isBegun) return onRoom()
      isBegun = true
      send(to).catch((error) => to.abort(error))
    },
    cancel() {
      hasEnded = true
      onRoom()
      stopped()
    },
  }
}
