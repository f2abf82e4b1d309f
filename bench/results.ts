import { mkdirSync } from 'node:fs'
import { cpus, loadavg, release, totalmem } from 'node:os'
import { join } from 'node:path'

/** The results of a run, as they are saved. */

export interface Measure {
  readonly perSecond: number
  readonly p50Ms: number | null
  readonly p99Ms: number | null
  /** Missing in results of earlier versions, and where a client does not report it. */
  readonly p999Ms?: number | null
  readonly maxMs: number | null
  /** Responses of 400 and above, failed connections, timeouts; changes that a watcher missed or got out of order. */
  readonly errors: number
  /** The largest resident memory of the server. */
  readonly peakMb: number
  /** Without pages of mapped files; missing where it was not measured. */
  readonly ownMb?: number | null
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
  /** The figure in the chart; the rate when left out. */
  readonly charted?: 'perSecond' | 'p99Ms'
  readonly rows: readonly Row[]
}

/** A figure compared with its bar. */
export interface Verdict {
  readonly text: string
  readonly unit: string
  /** Null if it could not be measured, because a contestant was left out or failed. */
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
  /** The largest acceptable y. */
  readonly limit?: number
}

export interface Results {
  readonly title: string
  readonly at: string
  readonly machine: string
  /** How it was run, and which contestants were left out. */
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

/** Returns the version of an installed Debian package; empty if it is not installed. */
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

/** Loads results that `save` wrote. */
export async function load(name: string): Promise<Results> {
  return await Bun.file(join(folder, `${name}.json`)).json()
}
