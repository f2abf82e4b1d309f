/** What requests say of media types, and of codings, in lists with weights (RFC 9110, 12.4.2 and 12.5). */

export const eventStream = 'text/event-stream'

/** A JSON text a line, under the names that it goes by. */
export const ndjsonTypes: readonly string[] = [
  'application/x-ndjson',
  'application/ndjson',
  'application/jsonl',
]

/** Whether a Content-Type is one of `ndjsonTypes`. */
export function isNdjson(contentType: string | null): boolean {
  return contentType !== null && ndjsonTypes.includes(essence(contentType))
}

/** A media type in lower case, without its parameters. */
export function essence(contentType: string): string {
  return contentType.split(';', 1)[0]!.trim().toLowerCase()
}

/** Types beside `text/*` and `+xml` whose values are text for people and programs to read. */
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

/** Whether a Content-Type is one of text in UTF-8, as far as it says which encoding it has. */
export function isTextType(contentType: string): boolean {
  if (contentType === lastType) return isLastText
  lastType = contentType
  isLastText = reportsText(contentType)
  return isLastText
}

/** Members of a collection mostly have one type. */
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

/** Elements are separated by commas that are in no quoted parameter. */
const elementForm = /(?:[^,"]|"(?:[^"\\]|\\.)*"?)+/g
const parameterForm = /(?:[^;"]|"(?:[^"\\]|\\.)*"?)+/g
const weightForm = /^(?:0(?:\.\d{0,3})?|1(?:\.0{0,3})?)$/

/** The elements of an Accept or Accept-Encoding header. One whose weight cannot be read is left out. */
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
 * Chooses the type of a response by its request's Accept header: the usual one, or one of the others where the header names it,
 * and weights it no less than the usual one. That a client takes `text/*` or anything does not mean that it wants a stream.
 * `*` as the usual type is a type that is not known yet. When no range accepts a type, the usual one is sent all the same: it is of
 * more use than 406.
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
    // Of equal weights the first that is named counts.
    const best = named.toSorted((a, b) => b.weight - a.weight)[0]
    return best?.name ?? usual
  }

  return (accept) => {
    if (accept === null || accept === '*/*') return usual
    // A client sends the same header with every request.
    if (accept !== lastAccept) {
      lastChosen = choose(accept)
      lastAccept = accept
    }
    return lastChosen
  }
}

/** By the most specific range; of the unknown type, any range but those of the others could be its own. */
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
