/** Numbers with units, as options and settings take them. */

const sizeUnits = {
  B: 1,
  kB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
  TiB: 2 ** 40,
}

/** Parses a number of bytes with or without a unit, such as `64MiB`. Null unless it is whole and in range. */
export function parseSize(given: string, min: number, max: number): number | null {
  return parseQuantity(given, sizeUnits, 1, min, max)
}

export function formatSize(bytes: number): string {
  return formatQuantity(bytes, { B: 1, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30, TiB: 2 ** 40 })
}

/**
 * Parses a number with a unit from the table, or without one, times `plain`. Returns null unless the result is whole
 * and in range.
 */
export function parseQuantity(
  given: string,
  units: Readonly<Record<string, number>>,
  plain: number,
  min: number,
  max: number,
): number | null {
  const [, digits, unit = ''] = /^([0-9]{1,15}(?:\.[0-9]{1,6})?) ?([a-zA-Z]*)$/.exec(given) ?? []
  if (digits === undefined) return null
  const [, factor] = Object.entries(units).find(([name]) => name.toLowerCase() === unit.toLowerCase()) ?? []
  if (unit !== '' && factor === undefined) return null
  const exact = Number(digits) * (factor ?? plain)
  const value = Math.round(exact)
  const isWhole = Math.abs(exact - value) < 1e-6 // 0.07 * 1e9 is not quite 70,000,000
  return isWhole && value >= min && value <= max ? value : null
}

/** Formats a value in the largest unit that gives a whole number. */
export function formatQuantity(value: number, units: Readonly<Record<string, number>>): string {
  const largest = Object.entries(units).findLast(
    ([, factor]) => factor >= 1 && value >= factor && value % factor === 0,
  )
  return largest === undefined ? '0' : `${value / largest[1]}${largest[0]}`
}
