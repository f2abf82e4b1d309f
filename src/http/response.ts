import { nextTick } from '../core/next-tick.ts'
import type { BodyWriter, HttpResponse, ResponseBody, StreamedBody } from './wire/response.ts'

export type Fields = Readonly<Record<string, string>>

export function responseOf(status: number, fields: Fields = {}, body: ResponseBody = null): HttpResponse {
  const caching = fields['Cache-Control'] === undefined ? noCacheHeader : ''
  return { status, headerBlock: inertHeaders + caching + headerBlockOf(fields), body }
}

/** Of a page with a script, which says itself what a browser may do with it. */
export function pageResponse(
  fields: Fields & { 'Content-Security-Policy': string },
  body: ResponseBody,
): HttpResponse {
  return { status: 200, headerBlock: headerBlockOf(fields), body }
}

/** Throws where a value would begin another line: that is a mistake of ours, for what clients send is checked before. */
export function headerBlockOf(fields: Fields): string {
  let block = ''
  for (const [name, value] of Object.entries(fields)) {
    if (/[\r\n\0]/.test(value)) throw new Error(`the header ${name} has a line break`)
    block += `${name}: ${value}\r\n`
  }
  return block
}

/**
 * What was stored must not act as a page or a script of this server's origin, whatever its content type: in every
 * response that is no page of the server's own.
 */
export const inertHeaders = headerBlockOf({
  'X-Content-Type-Options': 'nosniff',
  'Content-Security-Policy': "sandbox; default-src 'none'",
  'Cross-Origin-Resource-Policy': 'same-origin',
})

/** Without it browsers and proxies may show what is gone or changed since: with it they ask first. */
export const noCacheHeader = headerBlockOf({ 'Cache-Control': 'no-cache' })

const jsonHeaders = `${inertHeaders}${noCacheHeader}Content-Type: application/json\r\n`

/** JSON, with more to say about it where there is. */
export function jsonResponse(body: string | StreamedBody, status = 200, fields?: Fields): HttpResponse {
  return {
    status,
    headerBlock: fields === undefined ? jsonHeaders : jsonHeaders + headerBlockOf(fields),
    body,
  }
}

/** As `jsonAnswer`, with a line break at the end, for terminals. */
export function jsonTextLine(text: string, status = 200, fields?: Fields): HttpResponse {
  return jsonResponse(`${text}\n`, status, fields)
}

/** Parts that are pulled one after another; null is the end. `stopped` is called when the rest is not needed. */
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
      // A client that takes parts as quickly as they are made must not keep others from their turn.
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
