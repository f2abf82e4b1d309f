import { mkdirSync } from 'node:fs'
import { cpus, loadavg, release, totalmem } from 'node:os'
import { join } from 'node:path'

/** What a run found out, as it is saved. */

export interface Measure {
  readonly perSecond: number
  readonly p50Ms: number | null
  readonly p99Ms: number | null
  readonly maxMs: number | null
  /** Answers of 400 and above, failed connections, timeouts; changes that a watcher missed or got out of order. */
  readonly errors: number
  /** Resident memory of the server at its largest. */
  readonly peakMb: number
}

export interface Row {
  readonly contestant: string
  readonly title: string
  readonly variant: string
  readonly rounds: readonly Measure[]
  /** Why there are no figures. */
  readonly failed?: string
}

export interface LoadResult {
  readonly name: string
  readonly title: string
  readonly unit: string
  readonly note?: string
  /** What the chart shows; the rate when left out. */
  readonly charted?: 'perSecond' | 'p99Ms'
  readonly rows: readonly Row[]
}

/** A figure held against what it should reach. */
export interface Verdict {
  readonly text: string
  readonly unit: string
  /** Null where it could not be taken: somebody was left out, or failed. */
  readonly found: { readonly value: number; readonly low: number; readonly high: number } | null
  readonly atLeast?: number
  readonly atMost?: number
  readonly reached: boolean
}

/** A line over time. */
export interface Series {
  readonly title: string
  readonly unit: string
  readonly points: readonly { readonly x: number; readonly y: number }[]
  /** The largest y that is good. */
  readonly limit?: number
}

export interface Results {
  readonly title: string
  readonly at: string
  readonly machine: string
  /** How it was run, and who was left out. */
  readonly remarks: readonly string[]
  readonly loads: readonly LoadResult[]
  readonly verdicts: readonly Verdict[]
  readonly series: readonly Series[]
}

const folder = join(import.meta.dir, 'results')

export function machineLine(): string {
  const processors = cpus()
  const memoryGb = Math.round(totalmem() / 2 ** 30)
  const parts = [
    `${processors[0]?.model.trim() ?? 'unknown processor'}, ${processors.length} cores, ${memoryGb} GiB`,
    `Linux ${release()}`,
    `Bun ${Bun.version}`,
    `load average at start ${loadavg()[0]?.toFixed(2)}`,
  ]
  return parts.join('; ')
}

/** The version of an installed Debian package; empty when it is not one. */
export function packageVersion(name: string): string {
  if (!Bun.which('dpkg-query')) return ''
  // biome-ignore lint/suspicious/noTemplateCurlyInString: dpkg-query's own placeholder
  const found = Bun.spawnSync(['dpkg-query', '-W', '-f', '${Version}', name], { stderr: 'ignore' })
  return found.stdout.toString().trim()
}

export async function save(name: string, ending: 'json' | 'svg', text: string): Promise<string> {
  mkdirSync(folder, { recursive: true })
  const path = join(folder, `${name}.${ending}`)
  await Bun.write(path, text)
  return path
}

export async function savedNames(): Promise<string[]> {
  const files = await Array.fromAsync(new Bun.Glob('*.json').scan(folder))
  return files.map((file) => file.slice(0, -'.json'.length)).sort()
}

/** Our own files, as `save` wrote them. */
export async function load(name: string): Promise<Results> {
  return await Bun.file(join(folder, `${name}.json`)).json()
}
