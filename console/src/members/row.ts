import type { BoundedLine } from './bounded-lines.ts'

/** A row of the list, parsed from a line that the server wrote, without parsing the value: it is shown as it was stored. */

export interface MemberRow {
  readonly kind: 'member'
  readonly key: string
  /** The beginning of the value, as text for one line; null where the list was asked for keys alone. */
  readonly preview: string | null
  /** What kind of value it is, where that is not JSON: `image/png · 18.2 kB`. */
  readonly contentType: string
  /** About: of the value as the line has it. */
  readonly bytes: number
  readonly revision: number
  readonly updatedAtMs: number
  readonly expiresAtMs: number | null
}

/** The keys that begin with `key`, which ends with the delimiter. */
export interface FolderRow {
  readonly kind: 'folder'
  readonly key: string
}

export type Row = MemberRow | FolderRow

/** Enough for the widest screen. */
const previewChars = 320

const start = /^\{"(key|prefix)":("(?:[^"\\]|\\.)*")/
const valueName = /^,"(value|value_text|value_base64)":/
const end =
  /,"revision":(\d+),"created_at":"[^"]*","updated_at":"([^"]*)","expires_at":(?:null|"([^"]*)"),"content_type":("(?:[^"\\]|\\.)*")\}\s*$/

/** Returns the row of a line; null for a line that is not one of a list. */
export function parseRow({ head, tail, bytes }: BoundedLine): Row | null {
  const named = start.exec(head)
  if (named === null) return null
  const key: string = JSON.parse(named[2]!)
  if (named[1] === 'prefix') return { kind: 'folder', key }
  const metadata = end.exec(tail)
  if (metadata === null) return bareRow(key)
  const rest = head.slice(named[0].length, head === tail ? head.length - metadata[0].length : undefined)
  const form = valueName.exec(rest)
  if (form === null) return bareRow(key)
  const valueBytes = Math.max(0, bytes - named[0].length - form[0].length - metadata[0].length)
  return {
    kind: 'member',
    key,
    ...previewOf(form[1]!, rest.slice(form[0].length, form[0].length + previewChars), valueBytes),
    revision: Number(metadata[1]),
    updatedAtMs: Date.parse(metadata[2]!),
    expiresAtMs: metadata[3] === undefined ? null : Date.parse(metadata[3]),
    contentType: JSON.parse(metadata[4]!),
  }
}

function bareRow(key: string): MemberRow {
  const unknown = { preview: null, contentType: '', bytes: 0, revision: 0, updatedAtMs: 0, expiresAtMs: null }
  return { kind: 'member', key, ...unknown }
}

/** `text` is the beginning of the value as the line has it. */
function previewOf(form: string, text: string, valueBytes: number): Pick<MemberRow, 'preview' | 'bytes'> {
  if (form === 'value') return { preview: text, bytes: valueBytes }
  if (form === 'value_text') return { preview: unescaped(text), bytes: Math.max(0, valueBytes - 2) }
  return { preview: '', bytes: Math.floor(((valueBytes - 2) * 3) / 4) }
}

/** Returns the text of the beginning of a JSON string, which may be cut anywhere. */
function unescaped(json: string): string {
  const inner = json.replace(/^"/, '')
  const whole = /^(?:[^"\\]|\\u[0-9a-fA-F]{4}|\\[^u])*/.exec(inner)![0]
  return JSON.parse(`"${whole}"`)
}
