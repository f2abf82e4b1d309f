import { join } from 'node:path'
import { track } from './process.ts'

/** Runs wrk once, with one thread and load.lua. */

export interface RawRequest {
  readonly method: 'GET' | 'PUT' | 'POST'
  /** The path; it or the body contains one of the marks of load.lua. */
  readonly path: string
  readonly body?: string
  readonly headers?: Readonly<Record<string, string>>
}

export interface WrkRun {
  readonly port: number
  /** Missing: http. */
  readonly scheme?: 'http' | 'https'
  readonly request: RawRequest
  readonly choose: 'one' | 'random'
  readonly members: number
  readonly connections: number
  readonly seconds: number
  readonly seed: number
  /** The start of its command (`onCore`); missing: none. */
  readonly wrapper?: readonly string[]
}

export interface WrkFigures {
  /** Responses below 400, per second. */
  readonly perSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly p999Ms: number
  readonly maxMs: number
  /** Responses of 400 and above, failed connections, timeouts. */
  readonly errors: number
  /** User and system time of wrk itself. */
  readonly processorSeconds: number
}

/** Responses slower than this count as errors; the slowest below it is reported as the maximum. */
const timeoutSeconds = 20
const keyBytes = 12
const key64Bytes = 16
const numberDigits = 8
const refBytes = '{"collection":"bench","key":""}'.length + keyBytes

export async function runWrk(run: WrkRun): Promise<WrkFigures> {
  const url = `${run.scheme ?? 'http'}://127.0.0.1:${run.port}/`
  const child = track(
    Bun.spawn(
      [
        ...(run.wrapper ?? []),
        ...['wrk', '--threads', '1', '--connections', `${run.connections}`, '--duration', `${run.seconds}s`],
        ...[
          '--timeout',
          `${timeoutSeconds}s`,
          '--latency',
          '--script',
          join(import.meta.dir, 'load.lua'),
          url,
        ],
        ...['--', rawText(run.request, run.port), run.choose, `${run.members}`, `${run.seed}`],
      ],
      { stdin: 'ignore', stdout: 'pipe', stderr: 'pipe' },
    ),
  )
  const [out, complaint] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited])
  const line = /^RESULT (.*)$/m.exec(out)?.[1]
  if (line === undefined) throw new Error(`wrk gave no result: ${complaint || out}`)
  return {
    ...figuresOf(JSON.parse(line)),
    processorSeconds: Number(child.resourceUsage()?.cpuTime.total ?? Number.NaN) / 1e6,
  }
}

function figuresOf(counts: Record<string, number>): Omit<WrkFigures, 'processorSeconds'> {
  function count(name: string): number {
    return counts[name] ?? Number.NaN
  }
  return {
    perSecond: (count('requests') - count('status')) / (count('duration_us') / 1e6),
    p50Ms: count('p50_us') / 1000,
    p99Ms: count('p99_us') / 1000,
    p999Ms: count('p999_us') / 1000,
    maxMs: count('max_us') / 1000,
    errors: count('status') + count('connect') + count('read') + count('write') + count('timeout'),
  }
}

/** Returns the raw request, with its marks: all keys have the same length. */
function rawText({ method, path, body, headers }: RawRequest, port: number): string {
  const lines = [`${method} ${path} HTTP/1.1`, `Host: 127.0.0.1:${port}`]
  for (const [name, value] of Object.entries(headers ?? {})) lines.push(`${name}: ${value}`)
  if (body !== undefined) lines.push(`Content-Length: ${filledLength(body)}`)
  return `${lines.join('\r\n')}\r\n\r\n${body ?? ''}`
}

function filledLength(body: string): number {
  return body
    .replace('{key}', ' '.repeat(keyBytes))
    .replaceAll('{number}', ' '.repeat(numberDigits))
    .replace('{key64}', ' '.repeat(key64Bytes))
    .replace(/\{names:(\d+)\}/, (_, count) => ' '.repeat(Number(count) * (keyBytes + 1) - 1))
    .replace(/\{refs:(\d+)\}/, (_, count) => ' '.repeat(Number(count) * (refBytes + 1) - 1)).length
}
