/** Parses media types, and lists of types and codings with weights (RFC 9110, 12.4.2 and 12.5). */

export const eventStream = 'text/event-stream'

/** The media types in use for one JSON text per line. */
export const ndjsonTypes: readonly string[] = [
  'application/x-ndjson',
  'application/ndjson',
  'application/jsonl',
]

/** Whether a Content-Type is one of `ndjsonTypes`. */
export function isNdjson(contentType: string | null): boolean {
  return contentType !== null && ndjsonTypes.includes(essence(contentType))
}

/** Returns a media type in lower case, without its parameters. */
export function essence(contentType: string): string {
  return contentType.split(';', 1)[0]!.trim().toLowerCase()
}

/** Types besides `text/*`, `+xml` and `+yaml` whose values are text. */
const textTypes = new Set([
  'application/ecmascript',
  'application/graphql',
  'application/javascript',
  'application/jsonl',
  'application/ndjson',
  'application/sql',
  'application/toml',
  'application/typescript',
  'application/x-httpd-php',
  'application/x-javascript',
  'application/x-ndjson',
  'application/x-sh',
  'application/x-www-form-urlencoded',
  'application/x-yaml',
  'application/xml',
  'application/yaml',
])

/** Whether a Content-Type denotes text in UTF-8: a text type whose charset is UTF-8, US-ASCII or not given. */
export function isTextType(contentType: string): boolean {
  if (contentType === lastType) return isLastText
  lastType = contentType
  isLastText = reportsText(contentType)
  return isLastText
}

/** The last type and its result, cached because members of a collection mostly have one type. */
let lastType = ''
let isLastText = false

function reportsText(contentType: string): boolean {
  const type = essence(contentType)
  if (!type.startsWith('text/') && !textTypes.has(type) && !/\+(xml|yaml)$/.test(type)) return false
  const charset = /;\s*charset\s*=\s*"?([^";\s]*)/i.exec(contentType)?.[1]?.toLowerCase()
  return charset === undefined || charset === 'utf-8' || charset === 'utf8' || charset === 'us-ascii'
}

export interface Weighted {
  /** In lower case, without parameters. */
  readonly name: string
  readonly weight: number
}

/** Elements are separated by commas outside of quoted parameters. */
const elementForm = /(?:[^,"]|"(?:[^"\\]|\\.)*"?)+/g
const parameterForm = /(?:[^;"]|"(?:[^"\\]|\\.)*"?)+/g
const weightForm = /^(?:0(?:\.\d{0,3})?|1(?:\.0{0,3})?)$/

/** Parses an Accept or Accept-Encoding header. Elements with a malformed weight are omitted. */
export function parseWeighted(header: string): Weighted[] {
  return (header.match(elementForm) ?? []).flatMap((element) => {
    const [name = '', ...parameters] = (element.match(parameterForm) ?? []).map((part) =>
      part.trim().toLowerCase(),
    )
    const given = parameters.find((parameter) => /^q\s*=/.test(parameter))
    const weight = given === undefined ? '1' : given.replace(/^q\s*=\s*/, '')
    return name !== '' && weightForm.test(weight) ? [{ name, weight: Number(weight) }] : []
  })
}

/**
 * Returns a function that chooses the type of a response by the Accept header: the usual type, or one of the others
 * where the header names it with at least the weight of the usual one. A range such as `text/*` does not select a
 * stream. `*` as the usual type means a type that is not known yet. When no range accepts a type, the usual one is
 * chosen: it is of more use than 406.
 */
export function negotiation(usual: string, others: readonly string[]): (accept: string | null) => string {
  let lastAccept = ''
  let lastChosen = usual

  function choose(accept: string): string {
    const ranges = parseWeighted(accept)
    const usualWeight = weightOf(usual, ranges, others)
    const named = ranges.filter(
      ({ name, weight }) => others.includes(name) && weight > 0 && weight >= usualWeight,
    )
    // Among equal weights the first named type is chosen.
    const best = named.toSorted((a, b) => b.weight - a.weight)[0]
    return best?.name ?? usual
  }

  return (accept) => {
    if (accept === null || accept === '*/*') return usual
    // Clients send the same header with every request.
    if (accept !== lastAccept) {
      lastChosen = choose(accept)
      lastAccept = accept
    }
    return lastChosen
  }
}

/** Returns the weight by the most specific range. An unknown type may match any range that is not one of the others. */
function weightOf(type: string, ranges: readonly Weighted[], others: readonly string[]): number {
  if (type === '*') {
    const possible = ranges.filter(({ name }) => !others.includes(name)).map(({ weight }) => weight)
    return Math.max(0, ...possible)
  }
  const [main] = type.split('/')
  const range = [type, `${main}/*`, '*/*']
    .map((name) => ranges.find((one) => one.name === name))
    .find(Boolean)
  return range?.weight ?? 0
}
