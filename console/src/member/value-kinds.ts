/** What kind of value bytes with a content type are, and so how they are shown. */

export type ValueKind = 'json' | 'text' | 'image' | 'binary'

/** Content types to choose from for what is typed. */
export const typedTypes: readonly { readonly type: string; readonly title: string }[] = [
  { type: 'application/json', title: 'JSON' },
  { type: 'text/plain; charset=utf-8', title: 'Text' },
  { type: 'text/markdown; charset=utf-8', title: 'Markdown' },
  { type: 'text/csv; charset=utf-8', title: 'CSV' },
  { type: 'text/html; charset=utf-8', title: 'HTML' },
  { type: 'application/xml', title: 'XML' },
]

const imageTypes = new Set([
  'image/png',
  'image/jpeg',
  'image/gif',
  'image/webp',
  'image/avif',
  'image/bmp',
  'image/svg+xml',
  'image/x-icon',
  'image/vnd.microsoft.icon',
])

/** Returns the type without its parameters: `text/plain`. */
export function essenceOf(contentType: string): string {
  return contentType.split(';', 1)[0]!.trim().toLowerCase()
}

export function isJsonType(contentType: string): boolean {
  const essence = essenceOf(contentType)
  return essence === 'application/json' || essence.endsWith('+json')
}

/** `text` is the value where its bytes are UTF-8, else null. */
export function kindOf(contentType: string, text: string | null): ValueKind {
  const essence = essenceOf(contentType)
  if (imageTypes.has(essence)) return 'image'
  if (text === null) return 'binary'
  if (isJsonType(contentType)) return 'json'
  const isText =
    essence.startsWith('text/') ||
    /^application\/(?:xml|javascript|yaml|toml|x-ndjson|.*\+xml)$/.test(essence)
  // Bytes of a type that says nothing: a text, if it reads like one.
  const isReadable = !essence.includes('/octet-stream') || !/(?![\t\n\f\r])\p{Cc}/u.test(text)
  return isText || isReadable ? 'text' : 'binary'
}

/** A short name: "JSON", "Text", "PNG image", or the type itself. */
export function titleOf(contentType: string): string {
  const essence = essenceOf(contentType)
  const typed = typedTypes.find(({ type }) => essenceOf(type) === essence)
  return typed?.title ?? essence
}

/** Returns the text of bytes that are UTF-8, each of them kept; null for other bytes. */
export function textOf(bytes: Uint8Array): string | null {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    return null
  }
}

/** How the lines of a text end, if they all end alike. A mixture is kept as characters of the lines. */
export function lineBreakOf(text: string): '\n' | '\r\n' | 'mixed' {
  if (!text.includes('\r')) return '\n'
  return /(?:^|[^\r])\n|\r(?!\n)/.test(text) ? 'mixed' : '\r\n'
}

/** Returns a name for a file that holds the value. */
export function fileNameOf(key: string, contentType: string): string {
  const last = key
    .split('/')
    .at(-1)!
    .replaceAll(/[\p{Cc}/\\:*?"<>|]/gu, '_')
  const name = last.replace(/^\.+/, '') || 'value'
  if (/\.[A-Za-z0-9]{1,8}$/.test(name)) return name
  const ending = isJsonType(contentType) ? 'json' : endings[essenceOf(contentType)]
  return ending === undefined ? name : `${name}.${ending}`
}

const endings: Readonly<Record<string, string>> = {
  'text/plain': 'txt',
  'text/markdown': 'md',
  'text/html': 'html',
  'text/csv': 'csv',
  'application/xml': 'xml',
  'image/png': 'png',
  'image/jpeg': 'jpg',
  'image/gif': 'gif',
  'image/webp': 'webp',
  'image/avif': 'avif',
  'image/svg+xml': 'svg',
}
