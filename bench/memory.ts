import type { MemorySample } from './process.ts'
import type { Series } from './results.ts'
import { slope } from './statistics.ts'

/** Evaluates samples of memory. */

export function peakMb(samples: readonly MemorySample[]): number {
  return samples.reduce((peak, { rssMb }) => Math.max(peak, rssMb), 0)
}

/** The largest memory without pages of mapped files, which the system takes back when it needs them. */
export function peakOwnMb(samples: readonly MemorySample[]): number {
  return samples.reduce((peak, { anonymousMb }) => Math.max(peak, anonymousMb), 0)
}

/** Returns the slope of the regression line of the samples, in MB per second. */
export function slopeMb(samples: readonly MemorySample[]): number {
  return slope(samples.map(({ seconds, rssMb }) => ({ x: seconds, y: rssMb })))
}

/** Returns how many MB the regression line rises from the first sample to the last. */
export function driftMb(samples: readonly MemorySample[]): number {
  return slopeMb(samples) * ((samples.at(-1)?.seconds ?? 0) - (samples[0]?.seconds ?? 0))
}

export function secondHalf(samples: readonly MemorySample[]): readonly MemorySample[] {
  const end = samples.at(-1)?.seconds ?? 0
  return samples.filter(({ seconds }) => seconds >= end / 2)
}

export function memorySeries(title: string, samples: readonly MemorySample[]): Series {
  return {
    title,
    unit: 'MB',
    points: samples.map(({ seconds, rssMb }) => ({ x: round(seconds), y: round(rssMb) })),
  }
}

function round(value: number): number {
  return Math.round(value * 10) / 10
}
