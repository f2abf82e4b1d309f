import type { Origin } from 'kvist-client'
import { textOf } from './value-kinds.ts'

/** A member as it was at a revision. */
export interface Version {
  readonly revision: number
  readonly contentType: string
  readonly bytes: number
  /** Null where it was not loaded because of its size. */
  readonly value: Uint8Array | null
  /** Null where the bytes are not UTF-8, or are not loaded. */
  readonly text: string | null
  readonly createdAt: string | null
  readonly updatedAt: string | null
  readonly expiresAt: string | null
  /** The number that memcached clients store beside a value. */
  readonly flags: number
  readonly origin: Origin | null
}

const head = /^\{"members":\[(?:\{"key":("(?:[^"\\]|\\.)*"),"(value|value_text|value_base64)":)?/
const tail = /,("revision":\d+,"created_at":[^\r\n]*\})\],"next":(?:null|"[^"]*")\}\s*$/
/** Longer than what follows a value in a list can be. */
const maxTailChars = 4096

type Metadata = {
  readonly revision: number
  readonly created_at: string
  readonly updated_at: string
  readonly expires_at: string | null
  readonly content_type: string
  readonly flags?: number
  readonly origin?: Origin
}

/** Returns the member of a list with one, the bytes of its JSON as they are stored; null if it is another one. */
export function parseListed(listed: Uint8Array, key: string): Version | null {
  const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(listed)
  const begin = head.exec(text)
  if (begin === null) throw new Error('the server did not send a list')
  const [start, quotedKey, form] = begin
  if (quotedKey === undefined || JSON.parse(quotedKey) !== key) return null
  // Names of the metadata may be in the value, too: only the last ones are meant.
  const fromAt = Math.max(0, text.length - maxTailChars)
  const last = text.lastIndexOf(',"revision":')
  const end = tail.exec(text.slice(Math.max(fromAt, last)))
  if (end === null) throw new Error('the server did not send the metadata of the member')
  const metadata: Metadata = JSON.parse(`{${end[1]!}`)
  const written = text.slice(start.length, last)
  const value = form === 'value' ? new TextEncoder().encode(written) : bytesOf(form!, JSON.parse(written))
  return {
    revision: metadata.revision,
    contentType: metadata.content_type,
    bytes: value.length,
    value,
    text: form === 'value' ? written : textOf(value),
    createdAt: metadata.created_at,
    updatedAt: metadata.updated_at,
    expiresAt: metadata.expires_at,
    flags: metadata.flags ?? 0,
    origin: metadata.origin ?? null,
  }
}

function bytesOf(form: string, value: string): Uint8Array {
  if (form === 'value_text') return new TextEncoder().encode(value)
  return Uint8Array.from(atob(value), (character) => character.charCodeAt(0))
}
