/** Parses field lines (RFC 9112, 5) of a head or a trailer: a name, a colon, a value. */

const nameForm = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/

/**
 * Returns the names in lower case and the values, alternating, of lines that each end with CR LF, from offset `from`
 * on. Returns a message when a line is malformed: folds, blanks before a colon, bare CR or LF and other control
 * characters could let two parsers see two different requests.
 */
export function parseFieldLines(lines: string, from: number): string[] | string {
  if (!isClean(lines)) return 'has a control character, or a line that ends with LF alone'
  const fields: string[] = []
  for (let at = from; at < lines.length; ) {
    const next = lines.indexOf('\r\n', at)
    const colon = lines.indexOf(':', at)
    const name = colon === -1 || colon > next ? '' : lines.slice(at, colon)
    if (!nameForm.test(name)) return 'has a line that is not a name, a colon and a value'
    fields.push(name.toLowerCase(), fieldValue(lines, colon + 1, next))
    at = next + 2
  }
  return fields
}

/** Whether the lines have no control characters except tabs and the CR LF that end lines. */
function isClean(lines: string): boolean {
  for (let i = 0; i < lines.length; i++) {
    const code = lines.charCodeAt(i)
    if (code >= 32 && code !== 127) continue
    if (code === 13 && lines.charCodeAt(i + 1) === 10) i++
    else if (code !== 9) return false
  }
  return true
}

function fieldValue(text: string, from: number, to: number): string {
  let start = from
  let end = to
  while (start < end && isBlank(text.charCodeAt(start))) start++
  while (end > start && isBlank(text.charCodeAt(end - 1))) end--
  return text.slice(start, end)
}

function isBlank(code: number): boolean {
  return code === 32 || code === 9
}
