/** Prometheus' text format, as far as `/metrics` of kvist uses it: samples without times. */

export type Labels = Readonly<Record<string, string>>

export interface Sample {
  readonly labels: Labels
  readonly value: number
}

/** The samples of one scrape by name. */
export type Scrape = ReadonlyMap<string, readonly Sample[]>

const line = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)(?:\s+-?\d+)?$/
const label = /\s*([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"\s*,?/y
const escaped = /\\(.)/g

/** Parses a scrape. Lines that are comments, or nothing that it knows, are left out. */
export function parseScrape(text: string): Scrape {
  const scrape = new Map<string, Sample[]>()
  for (const one of text.split('\n')) {
    if (one === '' || one.startsWith('#')) continue
    const [, name, labelText = '', valueText] = line.exec(one.trim()) ?? []
    const labels = parseLabels(labelText)
    if (name === undefined || valueText === undefined || labels === null) continue
    const samples = scrape.get(name)
    const sample = { labels, value: parseValue(valueText) }
    if (samples === undefined) scrape.set(name, [sample])
    else samples.push(sample)
  }
  return scrape
}

/** Returns null for what are no labels. */
function parseLabels(text: string): Labels | null {
  if (text === '') return {}
  const labels: [string, string][] = []
  label.lastIndex = 0
  while (label.lastIndex < text.length) {
    const [, name, value] = label.exec(text) ?? []
    if (name === undefined || value === undefined) return null
    labels.push([
      name,
      value.replace(escaped, (_, character: string) => (character === 'n' ? '\n' : character)),
    ])
  }
  // `fromEntries` defines what it is given, also a label `__proto__`.
  return Object.fromEntries(labels)
}

function parseValue(text: string): number {
  if (/^[+-]?inf$/i.test(text))
    return text.startsWith('-') ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY
  return Number(text)
}

/** Returns the value of a metric without labels; null if the server does not have it. */
export function singleValue(scrape: Scrape, name: string): number | null {
  const value = scrape.get(name)?.[0]?.value
  return value === undefined || Number.isNaN(value) ? null : value
}

/** Returns the sum of those samples of a metric that `counts` selects; 0 if there are none. */
export function sumOf(
  scrape: Scrape,
  name: string,
  counts: (labels: Labels) => boolean = () => true,
): number {
  let sum = 0
  for (const { labels, value } of scrape.get(name) ?? []) if (counts(labels)) sum += value
  return sum
}
