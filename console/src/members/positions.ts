import { type KeyScale, keyScale, sharedPrefix } from './key-scale.ts'
import { compareKeys } from './keys.ts'

/**
 * Estimates which key stands at a position of a collection, which the server does not tell: lists continue from keys and
 * have no offsets. Runs of keys that were read are known exactly. How many keys are in a gap between two runs is estimated
 * from how dense the keys are beside it, and the gaps share what the collection has beyond the runs. Each search reads a
 * few more runs, in the largest gaps first, so estimates get better the more the list is used.
 */

interface Run {
  readonly low: string
  readonly high: string
  readonly count: number
  /** Some keys of it in order, the first and the last among them. */
  readonly samples: readonly Sample[]
}

interface Sample {
  readonly key: string
  /** How many keys of the run come before it. */
  readonly rank: number
}

/** Reads the keys before a key, and those from it on, as many as are quick to read; in order. */
export type Probe = (key: string) => Promise<readonly string[]>

export interface Estimate {
  readonly key: string
  /** The position at which it is expected. */
  readonly position: number
}

const samplesOfRun = 17
/** Gaps with more than this share of the collection are divided before a position is looked for. */
const coarseShare = 1 / 12
const surveyRounds = 4
const searchRounds = 4
/** An estimate within such a share of the collection is good enough; or within this many rows. */
const fineShare = 1 / 200
const fineRows = 300
const maxRuns = 400

export class Positions {
  #runs: readonly Run[] = []

  /** Learns consecutive keys, in their order: nothing is between them. */
  learn(keys: readonly string[]): void {
    const low = keys[0]
    const high = keys.at(-1)
    if (low === undefined || high === undefined) return
    const joined = this.#runs.filter((run) => !isBefore(run.high, low) && !isBefore(high, run.low))
    const beyond = keys.filter((key) =>
      joined.every((run) => isBefore(key, run.low) || isBefore(run.high, key)),
    )
    const samples = joinedSamples(joined, beyond)
    const run: Run = {
      low: samples[0]!.key,
      high: samples.at(-1)!.key,
      count: beyond.length + joined.reduce((sum, { count }) => sum + count, 0),
      samples: everyFew(samples),
    }
    const others = this.#runs.filter((other) => !joined.includes(other))
    this.#runs = thinned([...others, run].sort((a, b) => compareKeys(a.low, b.low)))
  }

  /** Finds the key at about a position of `total`, after the runs at both ends have been learned. */
  async find(position: number, total: number, probe: Probe): Promise<Estimate | null> {
    if (this.#runs.length === 0) return null
    for (let round = 0; round < surveyRounds; round++) {
      const large = this.#gaps(total).filter(({ weight }) => weight > Math.max(fineRows, total * coarseShare))
      if (large.length === 0) break
      await Promise.all(large.map(async (gap) => this.learn(await probe(gap.keyAt(0.5)))))
    }
    for (let round = 0; ; round++) {
      const found = this.#locate(position, total)
      if (found.gap === null) return { key: found.key, position }
      const isFine = found.gap.weight <= Math.max(fineRows, total * fineShare)
      if (isFine || round === searchRounds) return { key: found.key, position }
      this.learn(await probe(found.key))
    }
  }

  /** Estimates the position of a key. */
  positionOf(key: string, total: number): number {
    const gaps = this.#gaps(total)
    let position = 0
    for (const [at, run] of this.#runs.entries()) {
      if (compareKeys(key, run.low) < 0) break
      if (compareKeys(key, run.high) <= 0) return position + rankIn(run, key)
      position += run.count
      const gap = gaps[at]
      if (gap === undefined) break
      position += compareKeys(key, gap.high) < 0 ? gap.weight * gap.shareOf(key) : gap.weight
    }
    return Math.min(position, total)
  }

  #locate(position: number, total: number): { key: string; gap: Gap | null } {
    const gaps = this.#gaps(total)
    let before = 0
    for (const [at, run] of this.#runs.entries()) {
      if (position < before + run.count) {
        return { key: run.samples.findLast(({ rank }) => rank <= position - before)!.key, gap: null }
      }
      before += run.count
      const gap = gaps[at]
      if (gap !== undefined && position < before + gap.weight)
        return { key: gap.keyAt((position - before) / gap.weight), gap }
      before += gap?.weight ?? 0
    }
    return { key: this.#runs.at(-1)!.high, gap: null }
  }

  #gaps(total: number): Gap[] {
    const runs = this.#runs
    const gaps = runs.slice(1).map((run, at) => gapBetween(runs[at]!, run))
    const known = runs.reduce((sum, { count }) => sum + count, 0)
    const estimated = gaps.reduce((sum, { weight }) => sum + weight, 0)
    const scale = estimated === 0 ? 0 : Math.max(0, total - known) / estimated
    return gaps.map((gap) => ({ ...gap, weight: gap.weight * scale }))
  }
}

interface Gap {
  readonly high: string
  /** How many keys are in it, to be scaled to what the collection has. */
  readonly weight: number
  keyAt(share: number): string
  shareOf(key: string): number
}

function gapBetween(before: Run, after: Run): Gap {
  // Only what begins as the keys of the gap do says something about them: a run may reach over several folders.
  const shared = sharedPrefix([before.high, after.low])
  const near = (run: Run) => run.samples.filter(({ key }) => key.startsWith(shared))
  const scale = keyScale([...near(before), ...near(after)].map(({ key }) => key))
  const from = scale.offsetOf(before.high)
  const to = Math.max(from, scale.offsetOf(after.low))
  const densities = [near(before), near(after)].flatMap((samples) => densityOf(samples, scale) ?? [])
  const density = densities.reduce((sum, each) => sum + each, 0) / Math.max(1, densities.length)
  return {
    high: after.low,
    weight: Math.max((to - from) * density, Number.EPSILON),
    keyAt(share) {
      const key = scale.keyAt(from + (to - from) * share)
      // Offsets that a double cannot tell apart.
      return isBefore(before.high, key) && isBefore(key, after.low) ? key : after.low
    },
    shareOf: (key) =>
      to === from ? 0.5 : Math.min(Math.max((scale.offsetOf(key) - from) / (to - from), 0), 1),
  }
}

/** Steps between samples that are this much longer than usual are holes: nothing is learned from them. */
const holeSteps = 4

/** Returns the keys for each unit of the scale, holes left out; null where there are too few samples to say. */
function densityOf(samples: readonly Sample[], { offsetOf }: KeyScale): number | null {
  const steps = samples.slice(1).map(({ key, rank }, at) => {
    const before = samples[at]!
    return { keys: rank - before.rank, length: offsetOf(key) - offsetOf(before.key) }
  })
  const lengths = steps.map(({ keys, length }) => length / keys).sort((a, b) => a - b)
  const usual = lengths[Math.floor(lengths.length / 2)]
  if (usual === undefined) return null
  const whole = steps.filter(({ keys, length }) => length <= holeSteps * usual * keys)
  const length = whole.reduce((sum, step) => sum + step.length, 0)
  return length <= 0 ? null : whole.reduce((sum, { keys }) => sum + keys, 0) / length
}

/** Returns the samples of runs together with keys around and between them that continue them. */
function joinedSamples(runs: readonly Run[], beyond: readonly string[]): Sample[] {
  const ofRuns = runs.flatMap(({ low, samples }, at) => {
    const before = runs.slice(0, at).reduce((sum, { count }) => sum + count, 0)
    const offset = before + beyond.filter((key) => isBefore(key, low)).length
    return samples.map(({ key, rank }) => ({ key, rank: rank + offset }))
  })
  const ofKeys = beyond.map((key, at) => {
    const before = runs.filter(({ high }) => isBefore(high, key))
    return { key, rank: at + before.reduce((sum, { count }) => sum + count, 0) }
  })
  return [...ofRuns, ...ofKeys].sort((a, b) => a.rank - b.rank)
}

function rankIn({ samples }: Run, key: string): number {
  return samples.findLast((sample) => !isBefore(key, sample.key))?.rank ?? 0
}

function everyFew(samples: readonly Sample[]): Sample[] {
  if (samples.length <= samplesOfRun) return [...samples]
  const step = (samples.length - 1) / (samplesOfRun - 1)
  return Array.from({ length: samplesOfRun }, (_, at) => samples[Math.round(at * step)]!)
}

/** Forgets every other run, but never those at the ends, when there are very many. */
function thinned(runs: readonly Run[]): readonly Run[] {
  return runs.length <= maxRuns ? runs : runs.filter((_, at) => at % 2 === 0 || at === runs.length - 1)
}

function isBefore(a: string, b: string): boolean {
  return compareKeys(a, b) < 0
}
