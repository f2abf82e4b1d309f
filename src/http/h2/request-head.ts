/** The head of a request of HTTP/2, as HTTP/1.1 writes it, and how its body is to be framed. */
export interface RequestHead {
  readonly method: string
  readonly text: string
  /** The declared length of the body; null without one: the body is sent in chunks. */
  readonly bodyBytes: number | null
}

/** Fields that HTTP/2 does not have (RFC 9113, 8.2.2). */
const forbidden: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
  'upgrade',
])
/**
 * What could end a line, or a part of the request line, and characters beyond a byte: written as one they could be a line
 * break. The parser of heads is strict about all else.
 */
const unclean = /[^\x20-\x7e\x80-\xff]/
const pseudoFields = [':method', ':scheme', ':path', ':authority'] as const

/**
 * Translates header fields, names and values alternating. Returns null for a malformed request, whose stream is reset
 * (RFC 9113, 8.1 to 8.3).
 */
export function requestHead(fields: readonly string[], hasBody: boolean): RequestHead | null {
  const pseudo = new Map<string, string>()
  const lines: string[] = []
  let length: string | null = null
  let host: string | null = null
  for (let i = 0; i < fields.length; i += 2) {
    const [name, value] = [fields[i]!, fields[i + 1]!]
    if (unclean.test(name) || unclean.test(value.replaceAll('\t', ' '))) return null
    if (name.startsWith(':')) {
      if (lines.length > 0 || pseudo.has(name)) return null
      pseudo.set(name, value)
    } else if (name !== name.toLowerCase() || forbidden.has(name)) {
      return null
    } else if (name === 'te') {
      if (value !== 'trailers') return null
    } else if (name === 'host') {
      if (host !== null) return null
      host = value
    } else {
      if (name === 'content-length') {
        if (length !== null || !/^\d{1,15}$/.test(value)) return null
        length = value
      }
      lines.push(`${name}: ${value}\r\n`)
    }
  }
  if (!hasBody && length !== null && Number(length) > 0) return null
  const target = targetOf(pseudo, host)
  if (target === null) return null
  const framing = hasBody && length === null ? 'Transfer-Encoding: chunked\r\n' : ''
  return {
    method: target.method,
    text: `${target.lines}${lines.join('')}${framing}\r\n`,
    bodyBytes: length === null ? null : Number(length),
  }
}

/** Returns the request line and the Host field; null if they are malformed. */
function targetOf(pseudo: ReadonlyMap<string, string>, host: string | null) {
  const [method, scheme, path, authority = host] = pseudoFields.map((name) => pseudo.get(name))
  const isKnown = [...pseudo.keys()].every((name) => (pseudoFields as readonly string[]).includes(name))
  if (!isKnown || scheme === undefined || method === undefined || path === undefined || authority == null)
    return null
  if (host !== null && host.toLowerCase() !== authority.toLowerCase()) return null
  if (method.includes(' ') || path.includes(' ') || !/^[/*]/.test(path)) return null
  return { method, lines: `${method} ${path} HTTP/1.1\r\nHost: ${authority}\r\n` }
}
