import { formatQuantity, formatSize, parseQuantity, parseSize } from './core/quantity.ts'

/** The type of an option's value: how it is parsed, and how refusals and the help describe it. */
export interface Kind<T> {
  /** The placeholder of the value in the help; null for a switch, which takes none. */
  readonly unit: string | null
  /** Completes "must be …". */
  readonly range: string
  /** The hint in brackets in the help; missing when the option's own text is enough. */
  readonly hint?: string
  /** All values, when they can be enumerated. */
  readonly choices?: readonly string[]
  /** The flag may be repeated; its values are joined with commas. */
  readonly many?: true
  /** Returns null when the text is invalid or out of range. */
  readonly parse: (text: string) => T | null
  show(value: T): string
}

export function wholeNumber(min: number, max: number): Kind<number> {
  const inRange = (value: number) => (value >= min && value <= max ? value : null)
  return {
    unit: 'NUMBER',
    range: `a whole number from ${min} to ${max}`,
    hint: `${min} to ${max}`,
    parse: (given) => (/^[0-9]{1,15}$/.test(given) ? inRange(Number(given)) : null),
    show: String,
  }
}

export function choice<T extends string>(...choices: readonly T[]): Kind<T> {
  return {
    unit: choices.join('|'),
    range: choices.join(' or '),
    choices,
    parse: (given) => choices.find((one) => one === given) ?? null,
    show: (value) => value,
  }
}

export function text(unit: string, range: string, parse: (given: string) => string | null): Kind<string> {
  return { unit, range, parse, show: (value) => value }
}

export function anyText(unit: string): Kind<string> {
  return text(unit, 'a text', (given) => given)
}

export function toggle(): Kind<boolean> {
  return { unit: null, range: 'given or not', parse: (given) => given === 'true', show: String }
}

/** Several values of a kind, separated by commas or each with its own flag. */
export function list<T>(kind: Kind<T>): Kind<readonly T[]> {
  return {
    unit: kind.unit,
    range: `${kind.range}, or several with commas between them`,
    hint: 'may be repeated',
    many: true,
    parse(given) {
      const values = given.split(',').map((one) => kind.parse(one.trim()))
      const known = values.filter((value) => value !== null)
      return known.length === values.length ? known : null
    },
    show: (values) => values.map(kind.show).join(','),
  }
}

/** A number of bytes, with or without a unit. */
export function size(min: number, max: number): Kind<number> {
  return {
    unit: 'SIZE',
    range: `a size from ${min} to ${formatSize(max)}, like 64MiB`,
    hint: `${min} to ${formatSize(max)}`,
    parse: (given) => parseSize(given, min, max),
    show: formatSize,
  }
}

/** A duration, stored in seconds or milliseconds; without a unit it is in seconds. */
export function duration(kept: 's' | 'ms', min: number, max: number): Kind<number> {
  const perSecond = kept === 's' ? 1 : 1000
  const units = {
    ms: perSecond / 1000,
    s: perSecond,
    m: 60 * perSecond,
    h: 3600 * perSecond,
    d: 24 * 3600 * perSecond,
  }
  const show = (value: number) => formatQuantity(value, units)
  return {
    unit: 'TIME',
    range: `a time from ${show(min)} to ${show(max)}, ${kept === 's' ? 'in whole seconds' : 'in seconds or like 500ms'}`,
    hint: `${show(min)} to ${show(max)}`,
    parse: (given) => parseQuantity(given, units, perSecond, min, max),
    show,
  }
}
