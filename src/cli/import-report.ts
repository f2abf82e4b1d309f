import { closeSync, openSync, writeSync } from 'node:fs'

/** What became of the entries of a source. */
export interface ImportCounts {
  readonly stored: number
  /** Left out because they had expired. */
  readonly expired: number
  /** Stored, but not all of it. */
  readonly incomplete: number
  /** Not taken, by the reason. */
  readonly rejected: Readonly<Record<string, number>>
}

export const noCounts: ImportCounts = { stored: 0, expired: 0, incomplete: 0, rejected: {} }

export function addCounts(a: ImportCounts, b: ImportCounts): ImportCounts {
  const rejected = { ...a.rejected }
  for (const [code, count] of Object.entries(b.rejected)) rejected[code] = (rejected[code] ?? 0) + count
  return {
    stored: a.stored + b.stored,
    expired: a.expired + b.expired,
    incomplete: a.incomplete + b.incomplete,
    rejected,
  }
}

export function rejectedCount({ rejected }: ImportCounts): number {
  return Object.values(rejected).reduce((sum, count) => sum + count, 0)
}

/** Returns the last line of an import: `stored 5, not taken 3 (2 duplicate, 1 too_large)`. */
export function summaryOf(counts: ImportCounts, isDryRun: boolean): string {
  const { stored, expired, incomplete, rejected } = counts
  const reasons = Object.entries(rejected)
    .filter(([, count]) => count > 0)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([code, count]) => `${count} ${code}`)
  return [
    `${isDryRun ? 'would store' : 'stored'} ${stored}`,
    `not taken ${rejectedCount(counts)}${reasons.length === 0 ? '' : ` (${reasons.join(', ')})`}`,
    ...(incomplete === 0 ? [] : [`incomplete ${incomplete}`]),
    ...(expired === 0 ? [] : [`expired ${expired}`]),
  ].join(', ')
}

/** Keys that are named on standard error; further ones are only counted. */
const maxNamedKeys = 1000

/** Reports entries that were not taken, or not all of them, with the reason. */
export interface ImportReport {
  add(key: string, code: string, detail: string): void
  close(): void
}

/** Reports all entries to a file, one a line as JSON; without a path, the first ones to `complain`. */
export function openReport(
  path: string | undefined,
  isResumed: boolean,
  complain: (line: string) => void,
): ImportReport {
  if (path !== undefined) {
    const descriptor = openSync(path, isResumed ? 'a' : 'w')
    return {
      add: (key, code, detail) => void writeSync(descriptor, `${JSON.stringify({ key, code, detail })}\n`),
      close: () => closeSync(descriptor),
    }
  }
  let named = 0
  return {
    add(key, code, detail) {
      named++
      if (named <= maxNamedKeys) complain(`${shownKey(key)}: ${code}: ${detail}`)
      else if (named === maxNamedKeys + 1) complain('further ones are only counted: --report FILE names all')
    },
    close() {},
  }
}

const maxShownChars = 100

function shownKey(key: string): string {
  return JSON.stringify(key.length > maxShownChars ? `${key.slice(0, maxShownChars)}…` : key)
}
